// Package gorillastore puts gorilla/sessions on a sessionstore: existing programs keep their handlers and get reads from
// memory, revocation on every pod, lists of a user's sessions, new tokens at logins, and sessions that nothing brings back
// once they are ended.
//
//	store, err := gorillastore.New(bus, pool, &gorillastore.Config{
//		WithUser: func(values map[any]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go store.Run(ctx)
//	session, err := store.Get(r, "session")
//
// # Cookies
//
// The cookie is the token itself: 256 random bits that mean nothing, of which the database has only a hash. A signature
// around it would protect nothing, because nobody can guess one. With Config.KeyPairs the token is wrapped with
// securecookie, as other stores of gorilla do: for programs that come from such a store, whose sessions were imported
// (package sessionimport), and for those who filter cookies by their signature before the program. A session belongs to
// the name it was saved under: its token under another name opens nothing.
//
// # What is different
//
//   - New and Get return an error only for trouble: the database cannot be asked, or the session was written by another
//     version of the program. A cookie that is malformed, unknown or over is a new session without an error. After trouble
//     Save of that session fails as well, so that an outage does not replace somebody's session by an empty one. The texts
//     of errors may be shown: they name neither host nor user of the database, which errors.Unwrap has for logs.
//   - Save of a new session inserts, of a loaded one updates. A new session without a user that holds nothing is not
//     stored. A session that was ended or has expired stays so: the save is dropped and counted (Stats.Refused), and Save
//     returns nil. Only a negative MaxAge deletes the cookie, which by then may be that of a later login.
//   - Requests of one browser that change different values at the same time keep all of them, flash messages included:
//     what a request has changed is applied to what the database holds then. Of a value that two have changed, the last
//     one's stays.
//   - What was saved, the next request of the browser reads, on whatever pod: a cookie beside the session's, which lives
//     for ten seconds, carries the version.
//   - Save of an unchanged session writes nothing but that it was used, and takes back nothing that others have written.
//     The cookie is sent when the token or the Options have changed.
//   - A session whose user was taken out of the values is nobody's from then on.
//   - A negative Options.MaxAge ends the session on every pod.
//   - A positive Options.MaxAge is also when the session ends by itself, counted from when it was made or its user has
//     logged in: it does not begin anew with every Save, and the cookie never outlives it. With zero
//     Sessions.Policy.Absolute counts. Idle timeouts are those of Sessions.Policy.
//   - When WithUser says that somebody has logged in, Save gives the session a new token and a new deadline. An empty
//     Session.ID before Save gives it a new token as well; the old one is dead at once. Session.ID is the token: it
//     belongs into no log.
//
// # Limits
//
//   - The cookie has one name: a response that is late, and has made a session, replaces the cookie of a login that has
//     come in between. Package httpsession has no such limit.
//   - gorilla's Registry and Session.Values are not safe for concurrent use within one request.
//   - Without WithUser there are no users: no list, no RevokeUser, no new token at a login.
//   - Without BeginLogin a user's generation is read when the session is saved: see there.
//   - While the database is away, sessions in memory go on for as long as the bus is fresh (bus.Config.StaleAfter).
package gorillastore
