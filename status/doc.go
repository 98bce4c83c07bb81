// Package status shows how a pod and its cluster stand: health checks, a JSON report, Prometheus metrics, and a live page.
//
//	h, err := status.New(b, &status.Config{Token: token, Caches: []status.Cache{users}})
//	mux.Handle("/_pgcoherence/", http.StripPrefix("/_pgcoherence", h))
//
// Below the place where it is mounted the handler answers:
//
//	GET /livez     200 while the process answers; it asks nobody
//	GET /readyz    200 once the bus has been in sync, 503 before and from Drain on; ?verbose, ?exclude=bus
//	GET /status    the Report, as JSON
//	GET /metrics   everything in Config, for Prometheus
//	GET /          the live page, and what belongs to it; ?pod=ID shows another pod
//	GET /plain     the same without JavaScript
//	GET /history   the past of this pod: an hour and a day
//	GET /pods/ID   what another pod says of itself, or why it does not; /pods/ID/history
//	GET /find      which pods hold a key or a session, since when and from which snapshot; who has a lease
//	GET /actions   invalidating, ending sessions, releasing leases; off by default
//
// Call Run beside the bus': it keeps the past, and lets other pods' pages open this one.
//
// Doctor checks, apart from a Handler, whether a database is fit for what this module does.
//
// # Guarantees
//
//   - All but /livez and /readyz is closed, with status 403, until Config.Token or Config.Authorize is set. Those two tell
//     names of checks and of bus states, nothing else.
//   - A token is compared in constant time. It is never in an address, and a browser does not keep it: the login form turns
//     it into a cookie that scripts cannot read, no other site can send, and 12 hours or a new token end.
//   - Keys of caches and of locks are never shown, nor are tokens or ids of sessions, but to whoever looks for one. Searches
//     are logged with a code in place of the key.
//   - Actions need a permission of their own, Config.ActionToken or Config.AuthorizeAction, with each request: the token of the
//     page is not enough, and no other site can make a browser act. Each is confirmed, logged, and passed to Config.OnAction.
//   - Losing Postgres does not make a pod unready, unless Config.Strict: all pods lose it together.
//   - However many watch the live page, the database gets one query per Interval, and none while nobody does. /metrics
//     causes none at all.
//   - The page needs nothing from elsewhere, and runs under a policy without inline script or style.
//
// # Limits
//
//   - What the list says of other pods is what their beats say: name, version, state, position. Caches, locks and sessions are
//     those of the pod that answers; another pod is asked when somebody opens it, by an event and two unlogged tables, and
//     has to run and to reach the database for that.
//   - The past is in memory: a pod that starts anew begins anew.
//   - The snapshot that an entry is said to be from is where the pod was at the second in which it was stored.
//   - A pod that was killed counts as lost after LostAfter. Which of the pods that are gone ended in order and which were
//     lost is in the database for an hour. A lost pod counts as replaced when another one has started since: which one an
//     orchestrator started for which is not known.
package status
