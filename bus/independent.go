package bus

// Independent returns s as a subscriber whose progress counts for nobody else. Usually a pod proves freshness only once
// every subscription has taken what was delivered, so a subscriber that blocks for longer than StaleAfter takes the trust
// from all caches of the pod. With Independent it does not; in return neither Fresh nor Confirm says anything about what s
// has taken. Use it for what serves nothing from memory: search indexes, logs, webhooks.
//
// Everything else stays: events wait in the subscription's own bounded queue, and one that is full becomes a Reset. A
// Subscriber of a cache in this module stays what it was.
func Independent(s Subscriber) Subscriber { return independent{s} }

type independent struct{ Subscriber }
