// Package httpsession is the HTTP side of a sessionstore: a middleware that keeps the session's token in a cookie, with
// login, logout, renewal and guards.
//
//	sessions, err := httpsession.New(store, nil)
//	mux.Handle("POST /login", http.HandlerFunc(login))
//	mux.Handle("GET /account", sessions.Require(account))
//	mux.Handle("POST /password", sessions.RequireRecent(10*time.Minute, password))
//	http.ListenAndServe(addr, sessions.Handler(mux))
//
//	func login(w http.ResponseWriter, r *http.Request) {
//		login, err := store.BeginLogin(r.Context(), r.PostFormValue("user"))
//		if err == nil {
//			err = checkPassword(r)
//		}
//		if err == nil {
//			_, err = sessions.Login(w, r, login, Data{}, nil)
//		}
//		…
//	}
//
// Handler is a plain func(http.Handler) http.Handler, which net/http and chi take as it is, echo through
// echo.WrapMiddleware, and gin through a wrapper of six lines (internal/lab/compat has them, compiled and tested).
//
// # Cookies
//
// The cookie is named __Host-session-xxxxxxxx, where the last part is derived from the token. So a response can only
// overwrite or delete the very cookie that its request has sent: one that arrives late, after a login, a renewal or a
// logout in another tab, changes nothing. If a browser shows two valid sessions, the one with the latest login is used
// and the other is ended. Cookies are Secure, HttpOnly, SameSite=Lax, with Path=/ and without Domain.
//
// # What happens when
//
//   - A session is read when a handler first asks for it, from memory where that is in sync. Requests that do not ask,
//     such as health checks and static files, cost nothing and depend on nothing. Nothing is stored before Login or Start.
//   - Tokens are renewed every RotateEvery, by the request that finds it due. The old token works until the new one is
//     used. HEAD requests and upgrades do not renew, as their responses may not set cookies.
//   - A session that is over makes the request anonymous and its cookie is deleted. While nobody knows (the database is
//     away, or the data is of another version of the program) the request fails with 503 and the cookie stays.
//   - What a request wrote, the next request of the browser reads, on whatever pod: a cookie that lives for ten seconds
//     carries the version of the data, and a pod that holds an older one asks the database.
//
// The ResponseWriter is not wrapped: flushing, hijacking, http.ResponseController, server-sent events and WebSockets work
// as they do without the middleware. A handler that has asked for the session must do so before it writes the header.
//
// # Limits
//
//   - A response that depends on the session must not be marked as public for caches. The middleware sets Vary: Cookie
//     when a session is read, and Cache-Control: no-store when it sets a cookie.
//   - Cross-origin requests that change something are refused by http.CrossOriginProtection, which relies on what current
//     browsers send. Requests without these headers, such as those of programs, pass.
//   - Passwords and limits on guessing them are the application's.
package httpsession
