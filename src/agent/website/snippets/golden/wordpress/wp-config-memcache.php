<?php
// WordPress: the cluster's memcached servers.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$memcached_servers = ['default' => ['10.77.0.6:11211', '10.77.0.7:11211']];
defined('WP_CACHE_KEY_SALT') || define('WP_CACHE_KEY_SALT', 's1_');
