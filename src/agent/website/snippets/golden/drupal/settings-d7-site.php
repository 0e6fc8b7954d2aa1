<?php
// Drupal 7: the website's place on this platform.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$drupal_hash_salt = 'salt-0123456789';
$conf['reverse_proxy'] = true;
$conf['reverse_proxy_addresses'] = ['10.77.0.3', '10.77.0.6', '10.77.0.7'];
$conf['reverse_proxy_header'] = 'HTTP_X_FORWARDED_FOR';
$conf['file_private_path'] = '/srv/files/s1/private';
$conf['file_temporary_path'] = '/srv/sites/s1/tmp';
$conf['deployment_identifier'] = $_SERVER['BOXYARD_RELEASE'] ?? substr((string) @file_get_contents('/srv/sites/s1/current/.boxyard-release'), 0, 40);
// Code is read-only: modules come by git push.
$conf['allow_authorize_operations'] = false;
