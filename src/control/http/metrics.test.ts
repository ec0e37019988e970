import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestMetrics, statusLines } from './metrics.ts';

test('OSSA-2021-006: requests are counted by service, method and status, whatever paths clients invent', () => {
  const metrics = new RequestMetrics();
  for (let i = 0; i < 1000; i++) metrics.observe(`/network/v2.0/ports/${i}`, 'GET', 404, 0.001);
  metrics.observe('/networks', 'GET', 404, 2);
  assert.deepEqual(metrics.lines().filter((line) => line.startsWith('patchbay_requests_total') || line.includes('bucket')), [
    'patchbay_requests_total{service="network",method="GET",status="404"} 1000',
    'patchbay_requests_total{service="other",method="GET",status="404"} 1',
    'patchbay_request_seconds_bucket{le="0.002"} 1000',
    'patchbay_request_seconds_bucket{le="0.01"} 1000',
    'patchbay_request_seconds_bucket{le="0.05"} 1000',
    'patchbay_request_seconds_bucket{le="0.25"} 1000',
    'patchbay_request_seconds_bucket{le="1"} 1000',
    'patchbay_request_seconds_bucket{le="5"} 1001',
    'patchbay_request_seconds_bucket{le="+Inf"} 1001',
  ]);
});

test('hosts are gauges', () => {
  const lines = statusLines({
    controller: { store: 's', revision: 7, public_endpoint: '', pid: 1, errors: [] },
    hosts: [{ host: 'compute1', alive: true, applied: 6, revision: 7, errors: [{ object: 'port x', reason: 'y' }], idle_ports: 2 }],
  });
  assert.deepEqual(lines.filter((line) => !line.startsWith('#')), [
    'patchbay_revision 7', 'patchbay_host_alive{host="compute1"} 1', 'patchbay_host_applied{host="compute1"} 6', 'patchbay_host_errors{host="compute1"} 1', 'patchbay_host_idle_ports{host="compute1"} 2',
  ]);
});
