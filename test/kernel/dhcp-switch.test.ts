/** DHCP over a userspace Open vSwitch that dies. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DhcpManager } from '#agent/dhcp-manager.ts';
import { MetadataProxies } from '#agent/metadata-proxies.ts';
import { Client, host, makeBridge, server, sh, subnet } from './dhcp-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

const NETWORK = 'aaaaaaaa-0000-4000-8000-000000000001';
const SERVER_PORT = 'd1111111-1111-4000-8000-000000000001';

if (await insideSimulatedHost(import.meta.filename)) {
  test('trap 6: after kill -9 of ovs-vswitchd and its restart DHCP works again, by the same dnsmasq', async () => {
    const dir = await mkdtemp('/tmp/patchbay-dhcp-');
    await sh('chmod 755 "$1"', dir);
    Object.assign(process.env, { OVS_RUNDIR: dir, OVS_DBDIR: dir, OVS_LOGDIR: dir, OVS_SYSCONFDIR: dir });
    await sh('ovsdb-tool create "$1/conf.db" /usr/share/openvswitch/vswitch.ovsschema', dir);
    const database = spawn('ovsdb-server', [`${dir}/conf.db`, `--remote=punix:${dir}/db.sock`, '--no-chdir', '-vconsole:off'], { stdio: 'ignore' });
    while (!existsSync(`${dir}/db.sock`)) await sleep(5);
    await sh('ovs-vsctl --no-wait init -- add-br br-int -- set Bridge br-int datapath_type=netdev');
    const startSwitch = async (): Promise<ChildProcess> => {
      const child = spawn('ovs-vswitchd', [`unix:${dir}/db.sock`, '--no-chdir', '-vconsole:off', `--unixctl=${dir}/ctl`], { stdio: 'ignore' });
      await sh('ovs-vsctl --timeout=20 set Open_vSwitch . external_ids:started="$1"', String(child.pid));
      return child;
    };
    const end = async (child: ChildProcess): Promise<void> => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    };

    let vswitchd = await startSwitch();
    const plugger = {
      plug: async ({ device }: { device: string }): Promise<void> => void (await sh('ovs-vsctl --timeout=20 --may-exist add-port br-int "$1"', device)),
      unplug: async (device: string): Promise<void> => void (await sh('ovs-vsctl --timeout=20 --if-exists del-port "$1"', device)),
    };
    const plans: string[] = [];
    const manager = new DhcpManager({ stateDir: dir, plugger, proxies: new MetadataProxies({ root: `${dir}/metadata`, socket: '/run/metadata_proxy' }), onPlan: (_, lines) => plans.push(...lines) });
    manager.update([
      server(NETWORK, SERVER_PORT, ['172.16.0.2/24'], [subnet('s4', '172.16.0.0/24')]),
      host(NETWORK, 'p1', 'fa:16:3e:00:00:11', [['s4', '172.16.0.11']]),
    ], []);
    assert.deepEqual((await manager.apply()).filter((report) => !report.ok), []);

    // The client's bridge is only where the lab puts its other end; the switch takes it over.
    await makeBridge('br-lab');
    const client = await Client.create('guest', 'br-lab', 'fa:16:3e:00:00:11', `${dir}/guests`);
    await client.exec('ethtool -K eth0 tx off >/dev/null');
    await sh('ip link set vguest nomaster');
    await plugger.plug({ device: 'vguest' });
    assert.equal((await client.dhcp())['ip'], '172.16.0.11');
    const pid = await readFile(`${dir}/dhcp/${NETWORK}/pid`, 'utf8');

    await end(vswitchd);
    assert.deepEqual(await client.dhcp(1), {}, 'nobody switches');
    await rm(`${dir}/ctl`, { force: true });
    vswitchd = await startSwitch();
    plans.length = 0;
    assert.equal((await client.dhcp())['ip'], '172.16.0.11');
    await manager.check();
    assert.deepEqual(await manager.apply(), []);
    assert.deepEqual(plans, []);
    assert.equal(await readFile(`${dir}/dhcp/${NETWORK}/pid`, 'utf8'), pid);

    // TCP to the server (a DNS query) needs its checksums computed: trap 1.
    await client.exec('ip address replace 172.16.0.11/24 dev eth0');
    assert.match(await client.exec('busybox timeout 3 busybox nc 172.16.0.2 53 </dev/null && echo connected'), /connected/);

    manager.update([], [`dhcp-server/${NETWORK}`, `dhcp-host/${NETWORK}/p1`]);
    await manager.apply();
    assert.equal(await sh('ovs-vsctl list-ports br-int'), 'vguest\n');
    await end(vswitchd);
    await end(database);
    await rm(dir, { recursive: true, force: true });
  });
}
