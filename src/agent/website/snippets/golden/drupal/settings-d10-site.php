<?php
// Drupal 10: the website's place on this platform.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$settings['hash_salt'] = 'salt-0123456789';
$settings['reverse_proxy'] = true;
$settings['reverse_proxy_addresses'] = ['10.77.0.3', '10.77.0.6', '10.77.0.7'];
$settings['reverse_proxy_trusted_headers'] = \Symfony\Component\HttpFoundation\Request::HEADER_X_FORWARDED_FOR | \Symfony\Component\HttpFoundation\Request::HEADER_X_FORWARDED_PROTO;
$settings['trusted_host_patterns'] = ['^www\\.example\\.org$', '^example\\.org$'];
$settings['file_private_path'] = '/srv/files/s1/private';
$settings['file_temp_path'] = '/srv/sites/s1/tmp';
$settings['deployment_identifier'] = $_SERVER['BOXYARD_RELEASE'] ?? substr((string) @file_get_contents('/srv/sites/s1/current/.boxyard-release'), 0, 40);
// Code is read-only: modules come by git push.
$settings['allow_authorize_operations'] = false;
