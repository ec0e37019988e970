#!/bin/sh
# Makes a host a member of a VLAN, as one more machine on the physical network would be: an access port on br-phys, with an address.
# Call it on a host: ./patchbay host compute1 -- sh labs/07-vlan/join.sh 100 172.17.0.99/24. Undo it: … -- ovs-vsctl del-port br-phys vlan100
set -eu
vlan=$1 address=$2
ovs-vsctl add-port br-phys "vlan$vlan" tag="$vlan" -- set Interface "vlan$vlan" type=internal
ip address add "$address" dev "vlan$vlan"
ip link set "vlan$vlan" up
