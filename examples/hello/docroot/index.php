<?php
// A page that shows what a website finds on its boxes: settings by environment, database, shared folder.
$settings = require __DIR__ . '/settings.php';
header('Cache-Control: public, max-age=60');

function databaseVersion(): string
{
    try {
        $options = [PDO::MYSQL_ATTR_SSL_CA => '/etc/boxyard/ca.pem', PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false, PDO::ATTR_TIMEOUT => 2];
        $dsn = sprintf('mysql:host=%s;port=%s;dbname=%s', $_SERVER['DB_HOST'], $_SERVER['DB_PORT'] ?? 3306, $_SERVER['DB_NAME']);
        $database = new PDO($dsn, $_SERVER['DB_USER'], $_SERVER['DB_PASSWORD'], $options);
        return $database->query('SELECT VERSION()')->fetchColumn();
    } catch (Throwable $error) {
        error_log($error->getMessage());
        return 'not reachable';
    }
}
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title><?= htmlspecialchars($settings['greeting']) ?></title>
<style>body { font: 18px/1.5 system-ui; max-width: 40rem; margin: 4rem auto; padding: 0 1rem } dt { color: #666 } dd { margin: 0 0 1rem }</style>
<h1><?= htmlspecialchars($settings['greeting']) ?></h1>
<dl>
  <dt>Box</dt><dd><?= htmlspecialchars(gethostname()) ?></dd>
  <dt>Release</dt><dd><?= htmlspecialchars($_SERVER['BOXYARD_RELEASE'] ?? '') ?></dd>
  <dt>Environment</dt><dd><?= htmlspecialchars($_SERVER['BOXYARD_ENVIRONMENT'] ?? '') ?></dd>
  <dt>Database</dt><dd><?= htmlspecialchars(databaseVersion()) ?></dd>
  <dt>Shared folder</dt><dd><?= is_writable(__DIR__ . '/files') ? 'writable' : 'not writable' ?></dd>
</dl>
</html>
