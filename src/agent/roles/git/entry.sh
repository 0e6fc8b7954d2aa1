#!/bin/sh
# What sshd runs for every login: a website's key may push to and fetch from the website's own repository, nothing else.
site=$(id -un)
asked=${SSH_ORIGINAL_COMMAND-}

say() { printf '%s\n' "$1" >&2; }

# Only these exact texts are let through: nothing of the request is ever interpreted.
for verb in receive-pack upload-pack; do
  for path in "$site" "/$site" "/$site/" "$site.git" "/$site.git" "/$site.git/"; do
    case $asked in
      "git-$verb '$path'" | "git $verb '$path'" | "git-$verb $path")
        export BOXYARD_PUSH_SOCKET="/run/boxyard/push/$site.sock"
        export GIT_CONFIG_NOSYSTEM=1 GIT_NO_REPLACE_OBJECTS=1 HOME=/nonexistent
        # As in the agent's own git (GIT_ENVIRONMENT).
        export GIT_ALLOC_LIMIT=640m
        exec git "$verb" "/srv/git/$site.git"
        ;;
    esac
  done
done

case $asked in
  "") say "Hello, $site! This key works. Use it with git push and git fetch; there is no shell here." ;;
  git-receive-pack\ * | git-upload-pack\ * | git\ receive-pack\ * | git\ upload-pack\ *)
    other=$(printf '%s' "${asked##* }" | tr -cd 'A-Za-z0-9._/-' | cut -c1-60)
    other=${other#/}
    say "this key is for $site, not for ${other%.git}"
    ;;
  *) say "this key is for git push and git fetch of $site, nothing else" ;;
esac
exit 1
