#!/bin/sh
# Starts what a simulated host runs besides its agent. Called inside the host.
# host-services.sh host NAME LOCAL_IP PROXY_CONFIG UPLINK... | outside WEB_FOLDER PROXY_CONFIG [NAMESPACE]
# UPLINK: commands of ovs-vsctl, each after `--`, that give br-phys its way out. NAMESPACE: where the Internet is, if not here.
set -e

# Like a unit with Restart=on-failure: killed or failed means started again, a clean exit means stopped.
supervise() {
  setsid sh -c 'until "$@"; do sleep 0.2; done' "supervise-$1" "$@" </dev/null >/dev/null 2>&1 &
}

start_switch() {
  name=$1 local_ip=$2 gateway=192.168.2.1
  shift 2
  if [ -e /etc/openvswitch/conf.db ]; then rebooted=yes; else
    rebooted=
    ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
  fi
  supervise ovsdb-server /etc/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --no-chdir \
    --log-file -vconsole:off
  tries=0
  until [ -S /run/openvswitch/db.sock ]; do
    tries=$((tries + 1))
    [ $tries -lt 1000 ] || { echo "ovsdb-server did not start; see /var/log/openvswitch/ovsdb-server.log" >&2; exit 1; }
    sleep 0.01
  done
  # The way out is made anew at each boot: the configuration may know another one by now.
  if [ -n "$rebooted" ]; then
    set -- -- --if-exists del-port br-phys phys "$@"
    for bridge in $(ovs-vsctl --no-wait --bare --columns=name find Bridge external_ids:patchbay-uplink=true); do
      set -- -- --if-exists del-br "$bridge" -- --if-exists del-port br-phys "patch-$bridge" "$@"
    done
  fi
  ovs-vsctl --no-wait --timeout=20 -- init \
    -- set Open_vSwitch . external_ids:system-id="$name" external_ids:hostname="$name" \
    -- set Open_vSwitch . other_config:local_ip="$local_ip" \
    -- remove Open_vSwitch . external_ids rundir \
    -- --may-exist add-br br-phys -- set Bridge br-phys datapath_type=netdev fail_mode=secure \
    -- --may-exist add-br br-underlay -- set Bridge br-underlay datapath_type=netdev fail_mode=standalone \
    -- --may-exist add-port br-underlay underlay "$@"
  # Taps do not outlive a boot, but their rows do (neutron-ovs-cleanup does the same): whoever owns a port plugs it again.
  if [ -n "$rebooted" ]; then
    taps=$(ovs-vsctl --no-wait --bare --columns=name find Interface 'external_ids:iface-id!=""')
    for tap in $taps; do echo "-- --if-exists del-port $tap"; done | xargs -r ovs-vsctl --no-wait --timeout=20
  fi
  supervise ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile --no-chdir --log-file -vconsole:off
  # Without --no-wait: returns when ovs-vswitchd has taken the configuration over, but only if it changes something (hence `remove` above).
  ovs-vsctl --timeout=20 set Open_vSwitch . external_ids:rundir=/run/openvswitch || {
    echo "ovs-vswitchd did not start; see /var/log/openvswitch/ovs-vswitchd.log" >&2
    exit 1
  }
  # The tap of br-underlay is persistent: address and routes outlive a killed ovs-vswitchd. The address needs its /24 (OVS looks for
  # a source in the next hop's subnet) and must not have the route to it: peers are reached through the gateway only.
  ip -batch - <<BATCH
address replace $local_ip/24 dev br-underlay noprefixroute
link set br-underlay up
route replace $gateway/32 dev br-underlay scope link src $local_ip
route replace 192.168.2.0/24 via $gateway dev br-underlay src $local_ip
BATCH
}

case $1 in
  host)
    name=$2 local_ip=$3 proxy=$4
    shift 4
    start_switch "$name" "$local_ip" "$@"
    supervise haproxy -db -f "$proxy"
    ;;
  outside)
    supervise busybox httpd -f -p 80 -h "$2"
    [ -z "$4" ] || supervise ip netns exec "$4" busybox httpd -f -p 80 -h "$2"
    # The resolvers of the Internet know one name.
    supervise ${4:+ip netns exec "$4"} dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --no-hosts --no-resolv \
      --bind-interfaces --interface=internet --except-interface=lo --address=/#/ --address=/www.example.com/203.0.113.1 --address=/www.example.com/2001:db8:ffff::1
    supervise haproxy -db -f "$3"
    ;;
esac
