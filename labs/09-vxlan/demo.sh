#!/bin/sh
# Lab 9: a network that the demo user makes without a word about its type, and two instances on it.
# Call it with admin's credentials: source <(./patchbay openrc admin)
. "$(dirname "$0")/../demo-base.sh"

openstack_commands <<COMMANDS
$demo_project
COMMANDS

. ./demo-openrc
openstack_commands <<COMMANDS
$demo_access
network create vxlan-network
subnet create --network vxlan-network --subnet-range 172.18.0.0/24 --gateway 172.18.0.1 --allocation-pool start=172.18.0.2,end=172.18.0.10 --dhcp vxlan-subnet
server create --flavor m1.nano --image cirros --network vxlan-network --key-name demo-key --security-group default demo-instance-1
server create --flavor m1.nano --image cirros --network vxlan-network --key-name demo-key --security-group default demo-instance-2
server list
COMMANDS
