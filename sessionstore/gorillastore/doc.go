// Package gorillastore puts gorilla/sessions on a sessionstore: existing programs keep their handlers and get reads from
// memory, revocation on every pod, lists of a user's sessions, new tokens at logins, and sessions that nothing brings back
// once they are ended.
//
//	store, err := gorillastore.New(bus, pool, &gorillastore.Config{
//		WithUser: func(values map[any]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
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
// The cookie's name is that of the session with eight characters that depend on the token, such as session-x3k2…. So a
// response can only replace or delete the cookie that its request has sent: one that arrives late, after a login, a
// renewal or a logout in another tab, changes nothing. If a browser shows two valid sessions, that of the later login is
// used, and the next Save ends the other. A cookie with the bare name, from before, is read until its token is replaced.
// Config.FixedCookieName keeps the bare name, for as long as pods run that do not know the longer ones.
//
// # What is different
//
//   - New and Get return an error only for trouble: the database cannot be asked, or the session was written by another
//     version of the program. A cookie that is malformed, unknown or over is a new session without an error. After trouble
//     Save of that session fails as well, so that an outage does not replace somebody's session by an empty one. The texts
//     of errors may be shown: they name neither host nor user of the database, which errors.Unwrap has for logs.
//   - Save of a new session inserts, of a loaded one updates. A new session without a user that holds nothing is not
//     stored. A session that was ended or has expired stays so: the save is dropped and counted (Stats.Refused), and Save
//     returns nil, and the cookie stays.
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
//   - With Config.FixedCookieName a response that is late, and has made or ended a session, replaces or deletes the cookie of
//     a login that has come in between.
//   - gorilla's Registry and Session.Values are not safe for concurrent use within one request.
//   - Without WithUser there are no users: no list, no RevokeUser, no new token at a login.
//   - Without BeginLogin a user's generation is read when the session is saved: see there.
//   - While the database is away, sessions in memory go on for as long as the bus is fresh (bus.Config.StaleAfter).
package gorillastore
