<?php
// WordPress: the website's place on this platform.
// Written by Boxyard; include it, do not copy it: it changes with the website.

if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {
  $_SERVER['HTTPS'] = 'on';
}
defined('AUTH_KEY') || define('AUTH_KEY', 'UJpTujqiw4KhEl0cXASoDJQU26zw1LTzEOEv9ZwQmHk=');
defined('SECURE_AUTH_KEY') || define('SECURE_AUTH_KEY', '0Zy5E4Cd61IqTnIOdga8YwUMCH4SKIKhtYLEadY2xss=');
defined('LOGGED_IN_KEY') || define('LOGGED_IN_KEY', 'yKAnGY+YGUrx2bgmx0Kv7ThKaLbtvpvpXn/hhSR3Sws=');
defined('NONCE_KEY') || define('NONCE_KEY', 'tamKRMPjszf4YALDUfgEVwTnkkqefioVlFXpiJwQqeA=');
defined('AUTH_SALT') || define('AUTH_SALT', 'UPnXt87VQEdiN+9Yz+JI/Qz5Sp6ahy8PK/HubcsVEpg=');
defined('SECURE_AUTH_SALT') || define('SECURE_AUTH_SALT', 'XO77hCg8t3GSCBAV5pDfGdpIXNSqvmIkVw/h/LxDLgA=');
defined('LOGGED_IN_SALT') || define('LOGGED_IN_SALT', '3O2+yBWdY8xQlL4r3S6aEEGfnnG1RqNuCn527rD1xX0=');
defined('NONCE_SALT') || define('NONCE_SALT', 'ywy72APfwBpUdGQ6rgRkLRrkEtcW8YnYU7p6C+xR3lo=');
defined('WP_TEMP_DIR') || define('WP_TEMP_DIR', '/srv/sites/s1/tmp');
// Code is read-only: plugins, themes and updates come by git push.
defined('DISALLOW_FILE_MODS') || define('DISALLOW_FILE_MODS', true);
defined('AUTOMATIC_UPDATER_DISABLED') || define('AUTOMATIC_UPDATER_DISABLED', true);
