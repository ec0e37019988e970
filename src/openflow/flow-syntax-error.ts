/** A flow line that is not in `ovs-ofctl`'s language, or that the switch would silently read as another flow. */
export class FlowSyntaxError extends Error {
  override readonly name = 'FlowSyntaxError';
}
