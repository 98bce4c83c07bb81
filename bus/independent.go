package bus

// Independent returns a subscriber that calls s, and that freshness does not wait for. Usually a pod proves freshness
// only when every subscription has handled its deliveries, so a subscriber that blocks for longer than StaleAfter
// makes all caches of the pod lose their trust. An independent subscriber does not. In return, Fresh and Confirm say
// nothing about what s has handled. Use it for subscribers that serve nothing from memory: search indexes, logs,
// webhooks.
//
// Everything else is the same: events wait in the subscription's own bounded queue, and a full queue becomes a Reset.
// The subscribers of this module's own caches cannot be made independent: Independent returns them unchanged.
func Independent(s Subscriber) Subscriber { return independent{s} }

type independent struct{ Subscriber }
