<?php
// WordPress: database db7.
// Written by Boxyard; include it, do not copy it: it changes with the website.

defined('DB_NAME') || define('DB_NAME', 'db7');
defined('DB_USER') || define('DB_USER', 'db7');
defined('DB_PASSWORD') || define('DB_PASSWORD', 'pass-Word\'\\7');
defined('DB_HOST') || define('DB_HOST', '10.77.0.5:3306');
defined('DB_CHARSET') || define('DB_CHARSET', 'utf8mb4');
defined('DB_COLLATE') || define('DB_COLLATE', '');
defined('MYSQL_CLIENT_FLAGS') || define('MYSQL_CLIENT_FLAGS', MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT);
