// Package gorillastore is a store for gorilla/sessions on a sessionstore. Existing programs keep their handlers and
// get reads from memory, revocation on every pod, lists of a user's sessions, new tokens at logins, and sessions that
// stay ended once they have ended.
//
//	store, err := gorillastore.New(bus, pool, &gorillastore.Config{
//		WithUser: func(values map[any]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
//	session, err := store.Get(r, "session")
//
// # Cookies
//
// The cookie is the token itself: 256 random bits, of which the database has only a hash. A signature would add
// nothing, because tokens cannot be guessed. With Config.KeyPairs the token is wrapped with securecookie, as in other
// stores of gorilla. This is for programs whose sessions were imported from such a store (package sessionimport), and
// for those that check the signature before the program. A session belongs to the name that it was saved under: its
// token under another name opens nothing.
//
// The cookie's name is the session's, plus eight characters that depend on the token, such as session-x3k2…. So a
// response can only replace or delete the cookie that its own request has sent: one that arrives late, after a login,
// a renewal or a logout in another tab, changes nothing. If a browser sends two valid sessions, the one with the
// later login is used, and the next Save ends the other. A cookie with the session's plain name, from before, is read
// until its token is replaced. Config.FixedCookieName keeps the plain name while some pods do not know the longer
// ones.
//
// # What is different
//
//   - New and Get return an error only if the database cannot be queried, or another version of the program wrote the
//     session. A cookie that is malformed, unknown or of an ended session gives a new session without an error. After
//     an error, Save of that session fails, too, so that an outage does not replace a session by an empty one. The
//     texts of errors may be shown: they contain neither host nor user of the database, which errors.Unwrap returns
//     for logs.
//   - Save inserts a new session and updates a loaded one. A new session without a user and without values is not
//     stored. A session that has ended stays ended: the save is dropped and counted (Stats.Refused), Save returns
//     nil, and the cookie stays.
//   - Concurrent requests of one browser that change different values keep all changes, including flash messages: a
//     request's changes are applied to the values that are in the database then. For a value that two requests
//     changed, the last writer wins.
//   - The browser's next request reads what was saved, on every pod: an extra cookie with a lifetime of ten seconds
//     carries the version.
//   - Save of an unchanged session only records a use, and undoes nothing that other requests wrote. The cookie is
//     sent when the token or the Options have changed.
//   - A session whose user is removed from the values has no user from then on.
//   - A negative Options.MaxAge ends the session on every pod.
//   - A positive Options.MaxAge is also the session's lifetime, counted from its creation or its user's login: a Save
//     does not start it again, and the cookie does not outlive it. With zero, Sessions.Policy.Absolute applies. Idle
//     timeouts are those of Sessions.Policy.
//   - When WithUser reports a login, Save gives the session a new token and a new deadline. An empty Session.ID
//     before Save gives it a new token, too. The old token is invalid at once. Session.ID is the token: do not log
//     it.
//
// # Limits
//
//   - With Config.FixedCookieName a late response that has created or ended a session replaces or deletes the cookie
//     of a newer login.
//   - gorilla's Registry and Session.Values are not safe for concurrent use within one request.
//   - Without WithUser there are no users: no list, no RevokeUser, and no new token at a login.
//   - Without BeginLogin a user's generation is read when the session is saved: see there.
//   - While the database is unavailable, sessions in memory work as long as the bus is fresh (bus.Config.StaleAfter).
package gorillastore
