<?php
// Run by PHP-FPM for the agent while a release is staged: compiles what the live release uses, the most used first,
// and lets go of what removed releases have left in the cache.
// What is younger than two seconds would not be kept; a release is whole before anybody is told of it.
ini_set('opcache.file_update_protection', '0');
$from = $_SERVER['BOXYARD_WARM_FROM'] . '/';
$to = $_SERVER['BOXYARD_WARM_TO'] . '/';
$deadline = hrtime(true) + (int) $_SERVER['BOXYARD_WARM_MS'] * 1000000;
$scripts = (opcache_get_status(true) ?: [])['scripts'] ?? [];
uasort($scripts, fn ($a, $b) => $b['hits'] <=> $a['hits']);
$releases = dirname($to) . '/';
$isThere = [];
$compiled = 0;
foreach (array_keys($scripts) as $path) {
    if (!str_starts_with($path, $releases)) continue;
    $release = substr($path, 0, strpos($path, '/', strlen($releases)) ?: strlen($path));
    if (!($isThere[$release] ??= is_dir($release))) {
        opcache_invalidate($path, true);
    } elseif (str_starts_with($path, $from) && hrtime(true) < $deadline) {
        $next = $to . substr($path, strlen($from));
        if (is_file($next) && @opcache_compile_file($next)) $compiled++;
    }
}
header('Content-Type: text/plain');
echo "compiled=$compiled\n";
