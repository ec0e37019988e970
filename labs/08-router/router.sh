#!/bin/sh
# Lab 8, by hand in the original: a router of the demo user between both networks, and a floating IP for demo-instance-1.
# Call it after demo.sh, in the same folder, with admin's credentials: source <(./patchbay openrc admin)
set -eu

(
  . ./demo-openrc
  openstack router create demo-router
  openstack router set --external-gateway flat-network demo-router
)
# The VLAN network is the admin's: demo may use it and not give out its gateway's address.
openstack router add subnet demo-router vlan-subnet

. ./demo-openrc
eval "$(openstack floating ip create -f shell --prefix floating_ip_ --subnet flat-subnet flat-network)"
port=$(openstack port list --server demo-instance-1 -f value -c ID)
openstack floating ip set --port "$port" "$floating_ip_id"
openstack floating ip show "$floating_ip_id"
