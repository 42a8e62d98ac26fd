#!/bin/sh
exec "$(dirname -- "$0")/samsesh" setup "$@"
