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
//	GET /          the live page, and what belongs to it
//
// Doctor checks, apart from a Handler, whether a database is fit for what this module does.
//
// # Guarantees
//
//   - All but /livez and /readyz is closed, with status 403, until Config.Token or Config.Authorize is set. Those two tell
//     names of checks and of bus states, nothing else.
//   - A token is compared in constant time. It is never in an address, and a browser does not keep it: the login form turns
//     it into a cookie that scripts cannot read, no other site can send, and 12 hours or a new token end.
//   - Keys of caches and of locks are never shown, nor are tokens or ids of sessions.
//   - Losing Postgres does not make a pod unready, unless Config.Strict: all pods lose it together.
//   - However many watch the live page, the database gets one query per Interval, and none while nobody does. /metrics
//     causes none at all.
//   - The page needs nothing from elsewhere, and runs under a policy without inline script or style.
//
// # Limits
//
//   - What is told of other pods is what their beats say: name, version, state, position. Caches, locks and sessions are
//     those of the pod that answers.
//   - A pod that was killed counts as lost after LostAfter. Which of the pods that are gone ended in order and which were
//     lost is in the database for an hour. A lost pod counts as replaced when another one has started since: which one an
//     orchestrator started for which is not known.
package status
