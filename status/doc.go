// Package status shows the state of a pod and of its cluster: health checks, a JSON report, Prometheus metrics, and a
// live page.
//
//	h, err := status.New(b, &status.Config{Token: token, Caches: []status.Cache{users}})
//	mux.Handle("/_pgcoherence/", http.StripPrefix("/_pgcoherence", h))
//
// The handler serves these paths below the one where it is mounted:
//
//	GET /livez     200 while the process responds; it does no I/O
//	GET /readyz    200 once the bus has been in sync, 503 before and after Drain; ?verbose, ?exclude=bus
//	GET /status    the Report, as JSON
//	GET /metrics   everything in Config, for Prometheus
//	GET /          the live page, and its assets; ?pod=ID shows another pod
//	GET /plain     the same without JavaScript
//	GET /history   the history of this pod: an hour and a day
//	GET /pods/ID   the report of another pod, or why there is none; /pods/ID/history
//	GET /find      which pods have a key or a session in memory, since when and from which snapshot; the owner of a lease
//	GET /actions   invalidating, ending sessions, releasing leases; off by default
//
// Call [Handler.Run] beside the bus's Run: it records the history, and lets the pages of other pods show this one.
//
// [Doctor] checks, without a Handler, whether a database is suitable for this module.
//
// # Guarantees
//
//   - All paths but /livez and /readyz return status 403 until Config.Token or Config.Authorize is set. These two
//     show only names of checks and bus states.
//   - A token is compared in constant time. It is never in a URL, and the browser does not store it: the login form
//     exchanges it for a cookie that scripts cannot read and other sites cannot send. The cookie is valid for 12
//     hours, or until the token changes.
//   - The pages never list keys of caches and locks, tokens, or ids of sessions. A search shows only the key that was
//     searched for, and is logged with a code in place of the key.
//   - Each action needs a permission of its own, Config.ActionToken or Config.AuthorizeAction: the page's token is
//     not enough, and other sites cannot make a browser send one. Each action is confirmed, logged, and passed to
//     Config.OnAction.
//   - The loss of Postgres does not make a pod unready, unless Config.Strict is set, because all pods lose it
//     together.
//   - However many clients watch the live page, the database gets one query per Interval, and none without watchers.
//     /metrics sends no query.
//   - The page loads nothing from other hosts, and works with a content security policy without inline scripts and
//     styles.
//
// # Limits
//
//   - The list of pods shows the name, version, state and position of each pod as of its last beat. Caches, locks and
//     sessions are those of the pod that serves the page. To show another pod, the page sends it a request through an
//     event and two unlogged tables, so that pod must run and reach the database.
//   - The history is in memory: it is empty after a start.
//   - The snapshot that is shown for an entry is the pod's position in the second in which the entry was stored.
//   - A pod that was killed counts as lost after LostAfter. The database remembers for an hour which pods ended in
//     order and which were lost. A lost pod counts as replaced when another one has started since; which pod an
//     orchestrator started for it is not known.
package status
