#!/bin/sh
# Run a command (from the third argument on) where little is allowed. First: the checkout, second: an empty folder.
# In namespaces of its own: no network but the loopback, a read-only checkout in a folder with a space, a home that
# cannot be written, a locale without UTF-8, the core CORE and MEMORY bytes of data.
# unshare --map-root-user --mount --net sh hostile.sh CHECKOUT FOLDER COMMAND …
set -eu
checkout=$1 folder=$2
shift 2
mkdir -p "$folder/a course" "$folder/home" "$folder/tmp" "$folder/run"
mount --bind "$checkout" "$folder/a course"
mount -o remount,ro,bind "$folder/a course"
mount --bind "$folder/home" "$folder/home"
mount -o remount,ro,bind "$folder/home"
ip link set lo up
unset XDG_DATA_HOME XDG_CACHE_HOME XDG_CONFIG_HOME COURSEKIT_HOME COURSEKIT_DEVICE COURSEKIT_STRICT
export HOME="$folder/home" TMPDIR="$folder/tmp" JUPYTER_RUNTIME_DIR="$folder/run"
export LC_ALL=C LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONPATH="$folder/a course"
cd "$folder"
exec prlimit --data="$MEMORY" taskset --cpu-list "$CORE" "$@"
