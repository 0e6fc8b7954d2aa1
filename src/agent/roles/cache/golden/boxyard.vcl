# Written by Boxyard; changes are overwritten.
vcl 4.1;
import std;
import directors;
import vtc;

probe health {
  .request = "GET /boxyard-health HTTP/1.1" "Host: boxyard-health" "Connection: close";
  .interval = 1s;
  .timeout = 1s;
  .window = 4;
  .threshold = 2;
  .initial = 1;
}

backend c1b1 {
  .host = "127.55.0.10";
  .port = "80";
  .probe = health;
  .connect_timeout = 2s;
  .first_byte_timeout = 310s;
  .between_bytes_timeout = 310s;
  .max_connections = 200;
}
sub vcl_init {
  new boxes = directors.shard();
  boxes.add_backend(c1b1);
  boxes.reconfigure(replicas = 300);
}

acl edges {
  "127.55.0.1";
}

acl purgers {
  "127.55.0.10";
  "127.55.0.11";
}

sub wait_1 {
  if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
    vtc.sleep(0.25s);
  }
  if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
    vtc.sleep(0.25s);
  }
  if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
    vtc.sleep(0.25s);
  }
  if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
    vtc.sleep(0.25s);
  }
}

sub wait_2 {
  call wait_1;
  call wait_1;
}

sub wait_4 {
  call wait_2;
  call wait_2;
}

sub wait_8 {
  call wait_4;
  call wait_4;
}

sub wait_16 {
  call wait_8;
  call wait_8;
}

sub wait_32 {
  call wait_16;
  call wait_16;
}

sub vcl_backend_fetch {
  if (bereq.http.Host ~ "^[a-z0-9][a-z0-9.-]*$") {
    set bereq.http.X-Boxyard-Hold = "/var/lib/boxyard-holds/domains/" + bereq.http.Host;
    if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/32")) {
        call wait_32;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/16")) {
        call wait_16;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/8")) {
        call wait_8;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/4")) {
        call wait_4;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/2")) {
        call wait_2;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/1")) {
        call wait_1;
      }
      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/held")) {
        return (error(503, "Held for too long"));
      }
      set bereq.http.X-Boxyard-Waited = "yes";
    }
    unset bereq.http.X-Boxyard-Hold;
  }
}

sub vcl_recv {
  set req.http.host = std.tolower(regsub(req.http.host, ":[0-9]+$", ""));
  if (req.method == "GET" && req.url == "/boxyard-health" && req.http.host !~ "[.]") {
    return (synth(200, "OK"));
  }
  if (req.method == "PURGE") {
    if (client.ip !~ purgers) {
      return (synth(405, "PURGE is not allowed from here"));
    }
    return (purge);
  }
  # Only edges and the cluster's own servers speak to a cache; only edges know who the visitor is.
  if (client.ip !~ edges && client.ip !~ purgers) {
    return (synth(403, "Visitors come through an edge router"));
  }
  # Other methods that are meant for a cache, BAN and its like: an application would answer 200 to them, and nothing had happened.
  if (req.method !~ "^(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|SEARCH|REPORT|MKCALENDAR|ACL)$") {
    return (synth(405, "This method is not known here"));
  }
  unset req.http.X-Boxyard-Release;
  unset req.http.X-Boxyard-Hold;
  unset req.http.X-Boxyard-Waited;
  # Several ranges are answered with the whole: Varnish reads neither such a request nor the answer to it.
  if (req.http.Range ~ ",") {
    unset req.http.Range;
  }
  # Requests are dealt out evenly by their number; one that fails is dealt to another box, never to the same again.
  set req.http.X-Boxyard-Turn = req.xid;
  set req.backend_hint = boxes.backend(by = KEY, key = boxes.key(req.http.X-Boxyard-Turn));

  # What a website's code asks for is answered to it alone: it could say what it likes of scheme, host and visitor.
  if (client.ip !~ edges) {
    unset req.http.X-Forwarded-For;
    unset req.http.X-Forwarded-By;
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Https;
    unset req.http.X-Forwarded-Path;
    unset req.http.X-Forwarded-Port;
    unset req.http.X-Forwarded-Prefix;
    unset req.http.X-Forwarded-Proto;
    unset req.http.X-Forwarded-Protocol;
    unset req.http.X-Forwarded-Scheme;
    unset req.http.X-Forwarded-Server;
    unset req.http.X-Forwarded-Ssl;
    unset req.http.X-Forwarded-URI;
    unset req.http.X-Forwarded-User;
    unset req.http.Forwarded;
    unset req.http.Forwarded-For;
    unset req.http.X-Forwarded;
    unset req.http.X-Real-IP;
    unset req.http.X-Client-IP;
    unset req.http.Client-IP;
    unset req.http.True-Client-IP;
    unset req.http.X-Cluster-Client-IP;
    unset req.http.CF-Connecting-IP;
    unset req.http.CF-Visitor;
    unset req.http.Fastly-Client-IP;
    unset req.http.X-Remote-IP;
    unset req.http.X-Remote-Addr;
    unset req.http.X-Originating-IP;
    unset req.http.Remote-User;
    unset req.http.X-Original-URL;
    unset req.http.X-Original-URI;
    unset req.http.X-Original-Host;
    unset req.http.X-Rewrite-URL;
    unset req.http.X-Host;
    unset req.http.X-HTTP-Host-Override;
    unset req.http.X-Scheme;
    unset req.http.X-Url-Scheme;
    unset req.http.X-Accel-Mapping;
    unset req.http.Front-End-Https;
    unset req.http.X-Arr-Ssl;
    unset req.http.CloudFront-Forwarded-Proto;
    unset req.http.HTTPS;
    unset req.http.Proxy;
    unset req.http.User-Agent-Https;
    unset req.http.X-Boxyard-Site;
    return (pass);
  }
  if (req.method != "GET" && req.method != "HEAD") {
    return (pass);
  }
  if (req.http.Authorization) {
    return (pass);
  }
  # Where people log in, an application must see every cookie that it has set.
  if (req.url ~ "^/(wp-login[.]php|wp-admin(/|$)|wp-cron[.]php|xmlrpc[.]php|user(/login)?([?]|$)|admin(/|[?]|$)|cron[.]php|update[.]php|install[.]php)") {
    return (pass);
  }
  # The session cookies of Drupal and WordPress stay, all others do not reach the boxes.
  if (req.http.Cookie) {
    set req.http.Cookie = ";" + req.http.Cookie;
    set req.http.Cookie = regsuball(req.http.Cookie, "; +", ";");
    set req.http.Cookie = regsuball(req.http.Cookie, ";(S?SESS[a-f0-9]+|NO_CACHE|wordpress_logged_in_[^=]+|wordpress_sec_[^=]+|wordpress_[a-f0-9]+|wp-postpass_[^=]+|comment_author_[^=]+)=", "; \1=");
    set req.http.Cookie = regsuball(req.http.Cookie, ";[^ ][^;]*", "");
    set req.http.Cookie = regsuball(req.http.Cookie, "^[; ]+|[; ]+$", "");
    if (req.http.Cookie == "") {
      unset req.http.Cookie;
    } else {
      return (pass);
    }
  }
  # Pages are delivered a little stale while a box renews them, and for long when no box can, or is to.
  if (std.healthy(req.backend_hint) && !(req.http.host ~ "^[a-z0-9][a-z0-9.-]*$" && std.file_exists("/var/lib/boxyard-holds/domains/" + req.http.host + "/held"))) {
    set req.grace = 10s;
  }
  return (hash);
}

# A domain that has changed hands: what is stored under it is another website's.
sub vcl_hit {
  if (req.http.X-Boxyard-Site && req.http.X-Boxyard-Site != obj.http.X-Boxyard-Site) {
    set req.hash_always_miss = true;
    return (restart);
  }
}

# Without the scheme: visitors come by HTTPS alone, and who purges a page need not know that.
sub vcl_hash {
  hash_data(req.url);
  hash_data(req.http.host);
  return (lookup);
}

sub vcl_backend_fetch {
  unset bereq.http.X-Boxyard-Site;
  set bereq.backend = boxes.backend(by = KEY, key = boxes.key(bereq.http.X-Boxyard-Turn), alt = bereq.retries);
  # Every request has a connection of its own. A website says by its headers where its answer ends, and what it sends after that would be
  # taken for the answer to whoever comes next; and on a kept connection that closes without an answer Varnish sends a request
  # without a body once more, whatever it changes.
  set bereq.http.Connection = "close";
}

sub vcl_backend_response {
  set beresp.grace = 24h;
  set beresp.http.X-Boxyard-Url = bereq.url;
  if (beresp.status >= 500) {
    # Another box may do better; what changes something is never asked for twice.
    if (beresp.status == 503 && bereq.retries < 0 && (bereq.method == "GET" || bereq.method == "HEAD" || bereq.method == "OPTIONS") && (beresp.time - bereq.time < 30s || bereq.http.X-Boxyard-Waited && beresp.time - bereq.time < 93s)) {
      return (retry);
    }
    # A stale page is better than an error page.
    if (bereq.is_bgfetch) {
      return (abandon);
    }
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;
    return (deliver);
  }
  # Each may come in several lines.
  std.collect(beresp.http.Vary);
  std.collect(beresp.http.Cache-Control);
  std.collect(beresp.http.Surrogate-Control);
  if (beresp.http.Set-Cookie || beresp.http.Vary ~ "[*]" || beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)" || beresp.http.Surrogate-Control ~ "(?i)no-store") {
    set beresp.uncacheable = true;
    set beresp.ttl = 120s;
    return (deliver);
  }
  # Stored as the headers say; what has a date and says nothing of storing it is stored for a moment.
  if (beresp.http.Last-Modified && beresp.status == 200 && !(beresp.http.Cache-Control || beresp.http.Expires || beresp.http.Pragma || beresp.http.Surrogate-Control || beresp.http.CDN-Cache-Control)) {
    set beresp.ttl = 120s;
  }
  if (beresp.ttl <= 0s) {
    set beresp.uncacheable = true;
    set beresp.ttl = 120s;
  }
}

sub vcl_backend_error {
  if (!bereq.http.X-Boxyard-Hold && bereq.retries < 0 && (bereq.method == "GET" || bereq.method == "HEAD" || bereq.method == "OPTIONS") && (beresp.time - bereq.time < 30s || bereq.http.X-Boxyard-Waited && beresp.time - bereq.time < 93s)) {
    return (retry);
  }
  set beresp.http.Content-Type = "text/html; charset=utf-8";
  set beresp.http.Retry-After = "5";
  set beresp.http.Cache-Control = "no-store";
  set beresp.body = {"<!doctype html><meta charset=utf-8><title>One moment, please</title><style>body{font:18px/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem}</style><h1>One moment, please</h1><p>This website cannot answer right now. Please try again in a few seconds.</p>"};
  return (deliver);
}

sub vcl_deliver {
  if (obj.hits > 0) {
    set resp.http.X-Cache = "HIT";
  } elsif (req.method != "GET" && req.method != "HEAD" || obj.uncacheable) {
    set resp.http.X-Cache = "PASS";
  } else {
    set resp.http.X-Cache = "MISS";
  }
  unset resp.http.X-Boxyard-Site;
  unset resp.http.X-Boxyard-Url;
  unset resp.http.X-Varnish;
  unset resp.http.Via;
}

sub vcl_synth {
  set resp.http.Content-Type = "text/plain; charset=utf-8";
  set resp.body = resp.reason + {"
"};
  return (deliver);
}
