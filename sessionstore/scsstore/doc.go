// Package scsstore puts alexedwards/scs on a sessionstore: existing programs keep their handlers and get reads from
// memory, revocation on every pod, lists of a user's sessions, and sessions that nothing brings back once they are ended.
//
//	sessions := scs.New()
//	store, err := scsstore.New(bus, pool, sessions, &scsstore.Config{
//		WithUser: func(values map[string]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
//	…
//	handler := store.Handler(sessions.LoadAndSave(mux))
//
// New sets Store and Codec of the manager, and an ErrorFunc if it has none of the program's own; everything else stays as scs documents it, but for what follows.
//
// # What is different
//
//   - Requests of one browser that change different values at the same time keep all of them: what a request has changed
//     is applied to what the database holds then. Of a value that two have changed, the last one's stays.
//   - A request that changed nothing writes nothing: with an IdleTimeout scs stores every session after every request,
//     here that is a use, noted now and then, and it cannot undo what another request wrote meanwhile.
//   - A session that was ended, or has expired, stays so. What a request still commits to it is dropped and counted
//     (Stats.Refused), and the request is answered as usual: the next one with this cookie is anonymous.
//   - RenewToken keeps user, public id and absolute deadline. scs would begin a new Lifetime, so that a program which
//     renews now and then has sessions without end. A new Lifetime begins when WithUser says that somebody else, or
//     anybody at all, has logged in. SetDeadline works as documented, unless in the same request as RenewToken, where it
//     can only shorten.
//   - Idle timeout and deadline are the database's to judge. The clocks of the pods may differ.
//   - With the middleware Handler the session's cookie has a name that depends on the token. A response that arrives late,
//     after a login, a renewal or a logout in another tab, replaces and deletes nothing. Within it the cookie has the
//     manager's name, and a program that looks at the browser's cookies finds the longer one.
//   - Renewals of one token that meet each give their browser a token that works. A logout wins over all of them.
//   - A session whose user was taken out of the values, by Remove or Clear, is nobody's from then on.
//   - Data that this version of the program cannot read is an error and no anonymous session: another version, on another
//     pod, reads it, and the user keeps the cookie.
//   - While the database is away the response is 503 with a plain sentence (ErrorFunc), not 500.
//   - Iterate can destroy sessions, with HashTokenInStore too. It cannot change them: ErrIterated. RevokeUser of
//     Store.Sessions is the better way to log a user out everywhere.
//   - A value of the key ReservedKey is in every loaded session. Programs that copy all of Keys leave it out.
//
// # Tokens
//
// scs makes the token; what identifies a session here is the hash that scs would make of it, base64url(SHA-256(token)).
// With HashTokenInStore scs makes it, without that the store does: exactly one of them, decided at each call by what the
// manager says, so hashing twice cannot be configured, and switching it on or off logs nobody out. Sessions treats the
// hash as it treats any secret: its rows, caches and notifications hold a hash of that, from which nothing leads back.
//
// # Limits
//
//   - Without the middleware Handler a browser that goes from one pod to another may read what the session held some
//     milliseconds before. And scs sends its cookie, under one name, with every response that has stored the session: one
//     that is late, from a request that was let in before a login, puts the old token back into the browser.
//   - Of two renewals that meet, the session that no browser keeps ends by its timeouts.
//   - Without WithUser there are no users: no list, no RevokeUser, and RenewToken at a login keeps the anonymous
//     session's deadline.
//   - Without BeginLogin a user's generation is read when the session is stored. Whoever ends all sessions of a user
//     between the check of an old password and that moment does not end this one. With BeginLogin it is ended.
//   - A logout ends a session that is renewed at the same moment, if its request had found the session. One that comes
//     with a token which RenewToken has replaced already finds none, and scs then tells the store nothing.
//   - While the database is away, sessions in memory go on for as long as the bus is fresh (bus.Config.StaleAfter); the
//     rest is an error, which the manager's ErrorFunc answers.
package scsstore
