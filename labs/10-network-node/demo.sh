#!/bin/sh
# Lab 10: a router of the demo user between a VXLAN network and the flat one, two instances on the former, one on the latter, a floating IP.
# Call it with admin's credentials: source <(./patchbay openrc admin)
. "$(dirname "$0")/../demo-base.sh"

openstack_commands <<COMMANDS
$demo_project
network create --share --external --provider-network-type flat --provider-physical-network physnet flat-network
subnet create --network flat-network --subnet-range 172.16.0.0/24 --gateway 172.16.0.1 --allocation-pool start=172.16.0.2,end=172.16.0.10 --dhcp flat-subnet
COMMANDS

. ./demo-openrc
openstack_commands <<COMMANDS
$demo_access
network create vxlan-network
subnet create --network vxlan-network --subnet-range 172.18.0.0/24 --gateway 172.18.0.1 --allocation-pool start=172.18.0.2,end=172.18.0.10 --dhcp vxlan-subnet
router create demo-router
router set --external-gateway flat-network demo-router
router add subnet demo-router vxlan-subnet
server create --flavor m1.nano --image cirros --network vxlan-network --key-name demo-key --security-group default demo-instance-1
server create --flavor m1.nano --image cirros --network vxlan-network --key-name demo-key --security-group default demo-instance-2
server create --flavor m1.nano --image cirros --network flat-network --key-name demo-key --security-group default demo-instance-3
server list
COMMANDS

floating_ip=$(openstack floating ip create flat-network -f value -c floating_ip_address)
openstack server add floating ip demo-instance-1 "$floating_ip"
echo "floating IP of demo-instance-1: $floating_ip"
