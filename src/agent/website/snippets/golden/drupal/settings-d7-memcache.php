<?php
// Drupal 7: the cluster's memcached servers.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$conf['memcache_servers'] = ['10.77.0.6:11211' => 'default', '10.77.0.7:11211' => 'default'];
$conf['memcache_bins'] = ['cache' => 'default'];
$conf['memcache_key_prefix'] = 's1_';
$conf['memcache_extension'] = 'Memcached';
$conf['cache_default_class'] = 'MemCacheDrupal';
// Forms must survive a cache server that restarts.
$conf['cache_class_cache_form'] = 'DrupalDatabaseCache';
