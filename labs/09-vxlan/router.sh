#!/bin/sh
# The second half of lab 9: the flat network, a router of the demo user, and a floating IP for demo-instance-1.
# Call it after demo.sh, in the same folder, with admin's credentials: source <(./patchbay openrc admin)
set -eu

openstack network create --share --external --provider-network-type flat --provider-physical-network physnet flat-network
openstack subnet create --dhcp --subnet-range 172.16.0.0/24 --network flat-network --allocation-pool start=172.16.0.2,end=172.16.0.10 flat-subnet

. ./demo-openrc
openstack router create demo-router
openstack router set --external-gateway flat-network demo-router
openstack router add subnet demo-router vxlan-subnet
floating_ip=$(openstack floating ip create --subnet flat-subnet flat-network -f value -c floating_ip_address)
openstack server add floating ip demo-instance-1 "$floating_ip"
openstack floating ip list
