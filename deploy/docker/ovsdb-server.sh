#!/bin/sh
# Runs the OVSDB server of a node, on a database that is made or brought up to date first.
set -eu
# Whoever is in the group may connect.
umask 007

database=/run/openvswitch/conf.db
schema=/usr/share/openvswitch/vswitch.ovsschema

if [ ! -e "$database" ]; then
    ovsdb-tool create "$database" "$schema"
elif [ "$(ovsdb-tool needs-conversion "$database" "$schema")" = yes ]; then
    ovsdb-tool convert "$database" "$schema"
fi
exec ovsdb-server "$database" \
    --remote=punix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovsdb-server.ctl \
    -vconsole:info -vsyslog:off
