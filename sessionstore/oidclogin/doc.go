// Package oidclogin logs users in through an OpenID Connect provider, on as many pods as there are, and ends their
// sessions when the provider says so. It is a module of its own, over golang.org/x/oauth2 and coreos/go-oidc.
//
//	client, err := oidclogin.New(store, &oidclogin.Config{Issuer: …, ClientID: …, ClientSecret: …, RedirectURL: …})
//	mux.HandleFunc("POST /login", client.Start)
//	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
//		id, err := client.Finish(w, r)
//		if err != nil {
//			status, message := oidclogin.Describe(err)
//			http.Error(w, message, status)
//			return
//		}
//		login, err := store.BeginLogin(r.Context(), userOf(id))
//		…
//		sessions.Login(w, r, login, data, &httpsession.LoginOptions{CreateOptions: id.CreateOptions()})
//	})
//	mux.Handle("POST /backchannel-logout", client.BackChannelLogout())
//
// # What it does
//
//   - State, nonce, PKCE verifier and the page to return to are one one-time value in the database. Any pod can finish what
//     another one has begun, an attempt works once, and the database alone does not give the verifier away
//     (sessionstore.Config.Encrypt).
//   - A cookie ties attempts to the browser that has begun them, so nobody can be logged in by a link that somebody else
//     has prepared. Several attempts may be under way, in several tabs.
//   - The ID token's signature, issuer, audience, expiry, nonce and, where present, at_hash are checked, and the issuer of
//     the authorization response (RFC 9207) where the provider sends it.
//   - Back-channel logout ends the session that a sid names (logins under way included) or, without a sid, all sessions of
//     the subject. A logout token works once: what it has ended it does not end again.
//
// It works with every kind of session of this project: those of sessionstore, and those of scsstore and gorillastore
// through their method Sessions.
//
// # Limits
//
//   - Response mode form_post is not supported: its request comes from the provider's site, without the cookie.
//   - Logout tokens are accepted for MaxLogoutAge after they were issued.
//   - Access and refresh tokens are returned and not kept.
package oidclogin
