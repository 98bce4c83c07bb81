// Package scsstore puts alexedwards/scs on a sessionstore: existing programs keep their handlers and get reads from
// memory, revocation on every pod, lists of a user's sessions, and sessions that nothing brings back once they are ended.
//
//	sessions := scs.New()
//	store, err := scsstore.New(bus, pool, sessions, &scsstore.Config{
//		WithUser: func(values map[string]any) string { id, _ := values["userID"].(string); return id },
//	})
//	go store.Run(ctx)
//
// New sets Store and Codec of the manager; everything else stays as scs documents it, but for what follows.
//
// # What is different
//
//   - A request that changed nothing writes nothing: with an IdleTimeout scs stores every session after every request,
//     here that is a use, noted now and then, and it cannot undo what another request wrote meanwhile.
//   - A session that was ended, or has expired, stays so. What a request still commits to it is dropped and counted
//     (Stats.Refused), and the request is answered as usual: the next one with this cookie is anonymous.
//   - RenewToken keeps user, public id and absolute deadline. scs would begin a new Lifetime, so that a program which
//     renews now and then has sessions without end. A new Lifetime begins when WithUser says that somebody else, or
//     anybody at all, has logged in. SetDeadline works as documented, unless in the same request as RenewToken, where it
//     can only shorten.
//   - Idle timeout and deadline are the database's to judge. The clocks of the pods may differ.
//   - Data that this version of the program cannot read is an anonymous session and no error page.
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
//   - Last writer wins, per session, as in scs: of two requests that change the same session at once one is lost.
//   - Without WithUser there are no users: no list, no RevokeUser, and RenewToken at a login keeps the anonymous
//     session's deadline.
//   - Without BeginLogin a user's generation is read when the session is stored. Whoever ends all sessions of a user
//     between the check of an old password and that moment does not end this one. With BeginLogin it is ended.
//   - A logout ends a session that is renewed at the same moment, if its request had found the session. One that comes
//     with a token which RenewToken has replaced already finds none, and scs then tells the store nothing.
//   - While the database is away, sessions in memory go on for as long as the bus is fresh (bus.Config.StaleAfter); the
//     rest is an error, which the manager's ErrorFunc answers.
package scsstore
