// Package scsstore is a store for alexedwards/scs on a sessionstore. Existing programs keep their handlers and get
// reads from memory, revocation on every pod, lists of a user's sessions, and sessions that stay ended once they have
// ended.
//
//	sessions := scs.New()
//	store, err := scsstore.New(bus, pool, sessions, &scsstore.Config{
//		WithUser: func(values map[string]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
//	…
//	handler := store.Handler(sessions.LoadAndSave(mux))
//
// New sets Store and Codec of the manager, and ErrorFunc if the program has not set one. Everything else works as scs
// documents it, with the following differences.
//
// # What is different
//
//   - Concurrent requests of one browser that change different values keep all changes: a request's changes are
//     applied to the values that are in the database then. For a value that two requests changed, the last writer
//     wins.
//   - A request without changes writes nothing. With an IdleTimeout scs stores every session after every request;
//     here that is recorded as a use from time to time, and cannot undo what another request wrote.
//   - A session that has ended stays ended. A later commit to it is dropped and counted (Stats.Refused), and the
//     request succeeds; the next one with this cookie is anonymous.
//   - RenewToken keeps user, public id and absolute deadline. In scs it starts a new Lifetime, so a program that
//     renews regularly has sessions without end. Here a new Lifetime starts when WithUser reports a new user.
//     SetDeadline works as documented, except in the same request as RenewToken, where it can only shorten.
//   - The database's clock decides about idle timeout and deadline, so the clocks of the pods may differ.
//   - With the middleware Handler the name of the session's cookie depends on the token. A response that arrives
//     late, after a login, a renewal or a logout in another tab, neither replaces nor deletes a newer cookie. Inside
//     of the middleware the cookie has the manager's name; in the browser it has the longer one.
//   - Of several concurrent renewals of one token, each gives its browser a token that works. A concurrent logout
//     wins over all of them.
//   - A session whose user is removed from the values, by Remove or Clear, has no user from then on.
//   - Data that this version of the program cannot read is an error, and not an anonymous session: another version,
//     on another pod, can read it, and the user keeps the cookie.
//   - While the database is unavailable the response is 503 with a short sentence (ErrorFunc), and not 500.
//   - Iterate can destroy sessions, even with HashTokenInStore, but not change them ([ErrIterated]). To log a user
//     out everywhere, prefer RevokeUser of Store.Sessions.
//   - Every loaded session has a value with the key [ReservedKey]. Programs that copy all Keys should leave it out.
//
// # Tokens
//
// scs makes the token. A session is identified here by the hash that scs would make of it, base64url(SHA-256(token)).
// With HashTokenInStore scs makes the hash, and otherwise the store. The manager's setting decides at each call, so
// hashing twice is impossible, and changing the setting logs no user out. For Sessions the hash is the token: its
// rows, caches and notifications contain only a hash of it.
//
// # Limits
//
//   - Without the middleware Handler, a browser whose requests go to different pods may read values that are some
//     milliseconds old. Also, scs sends its cookie, with one name, with every response that has stored the session: a
//     late response from before a login puts the old token back into the browser.
//   - Of two concurrent renewals, the session that no browser keeps ends by its timeouts.
//   - Without WithUser there are no users: no list, no RevokeUser, and RenewToken at a login keeps the anonymous
//     session's deadline.
//   - Without BeginLogin a user's generation is read when the session is stored. If all sessions of the user are
//     ended between the check of an old password and that moment, this session is not ended. With BeginLogin it is.
//   - A logout ends a session that is renewed at the same time, if its request had found the session. A request with
//     a token that RenewToken has already replaced finds none, and scs does not call the store then.
//   - While the database is unavailable, sessions in memory work as long as the bus is fresh (bus.Config.StaleAfter).
//     Other reads return an error, to which the manager's ErrorFunc responds.
package scsstore
