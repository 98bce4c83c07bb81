// Package httpsession is the HTTP side of a sessionstore: a middleware that keeps the session's token in a cookie,
// with login, logout, rotation and guards.
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
// Handler is a func(http.Handler) http.Handler, which net/http and chi use directly, echo through
// echo.WrapMiddleware, and gin through a wrapper of six lines (internal/lab/compat has all of them, compiled and
// tested).
//
// # Cookies
//
// The cookie is named __Host-session-xxxxxxxx. The last part is derived from the token, so a response can only
// overwrite or delete the cookie that its own request has sent. A response that arrives late, after a login, a
// rotation or a logout in another tab, changes nothing. If a browser sends two valid sessions, the one with the
// latest login is used and the other is ended. Cookies are Secure, HttpOnly, SameSite=Lax, with Path=/ and without
// Domain.
//
// # Behavior
//
//   - A session is read when a handler first calls Get, from memory if that is in sync. Requests that do not use it,
//     such as health checks and static files, cost nothing and depend on nothing. Nothing is stored before Login or
//     Start.
//   - A token that is older than RotateEvery is rotated by the next request. The old token works until the new one is
//     used. HEAD requests and upgrades do not rotate, because their responses may not set cookies.
//   - If the session has ended, the request is anonymous and its cookie is deleted. If that is unknown (the database
//     is unavailable, or another version of the program wrote the data), the request fails with 503 and the cookie
//     stays.
//   - The browser's next request reads what a request wrote, on every pod: a cookie with a lifetime of ten seconds
//     carries the version of the data, and a pod with an older one reads the database.
//
// The ResponseWriter is not wrapped: flushing, hijacking, http.ResponseController, server-sent events and WebSockets
// work as without the middleware. A handler that uses the session must read it before it writes the header.
//
// # Limits
//
//   - A response that depends on the session must not be marked as public for caches. The middleware sets Vary:
//     Cookie when a session is read, and Cache-Control: no-store when it sets a cookie.
//   - Cross-origin requests that change something are refused by http.CrossOriginProtection, which relies on headers
//     of current browsers. Requests without these headers, such as those of programs, pass.
//   - Passwords, and limits on guessing them, are up to the application.
package httpsession
