<?php
// Drupal 8: database db7.
// Written by Boxyard; include it, do not copy it: it changes with the website.

$databases['default']['default'] = ['driver' => 'mysql', 'database' => 'db7', 'username' => 'db7', 'password' => 'pass-Word\'\\7', 'host' => '10.77.0.5', 'port' => '3306', 'prefix' => '', 'charset' => 'utf8mb4', 'collation' => 'utf8mb4_general_ci', 'namespace' => 'Drupal\\Core\\Database\\Driver\\mysql'];
$databases['default']['default']['pdo'][PDO::MYSQL_ATTR_SSL_CA] = '/etc/boxyard/ca.pem';
$databases['default']['default']['pdo'][PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT] = true;
// As Drupal recommends; MariaDB's own default lets requests wait for each other's locks.
$databases['default']['default']['init_commands']['isolation_level'] = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED';
