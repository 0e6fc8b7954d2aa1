<?php
// Drupal 8: the cluster's memcached servers.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$settings['memcache']['servers'] = ['10.77.0.6:11211' => 'default', '10.77.0.7:11211' => 'default'];
$settings['memcache']['bins'] = ['default' => 'default'];
$settings['memcache']['key_prefix'] = 's1_';
$settings['memcache']['extension'] = 'Memcached';
$settings['cache']['default'] = 'cache.backend.memcache';
