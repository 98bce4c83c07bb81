// Package history remembers which transactions have recently invalidated which keys and tags of a topic.
//
// A value that was read elsewhere, by a standby or for a tier, comes with the snapshot it was read in. If that snapshot sees
// every invalidation that is remembered here, the value is no older than what the primary would return.
//
// The memory is bounded. What it forgets raises a floor: a snapshot below the floor may be older than something forgotten.
package history
