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
//   - New and Get return an error only for trouble: the database cannot be asked. A cookie that is malformed, unknown, over
//     or of a session that this program cannot read is a new session without an error. After trouble Save of that session
//     fails as well, so that an outage does not replace somebody's session by an empty one.
//   - Save of a new session inserts, of a loaded one updates. A session that was ended or has expired stays so: the save
//     is dropped and counted (Stats.Refused), the cookie is deleted, and Save returns nil.
//   - Save of an unchanged session writes nothing but that it was used, and takes back nothing that others have written.
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
//   - Last writer wins, per session: of two requests that change the same session at once one is lost.
//   - gorilla's Registry and Session.Values are not safe for concurrent use within one request.
//   - Without WithUser there are no users: no list, no RevokeUser, no new token at a login.
//   - Without BeginLogin a user's generation is read when the session is saved: see there.
//   - While the database is away, sessions in memory go on for as long as the bus is fresh (bus.Config.StaleAfter).
package gorillastore
