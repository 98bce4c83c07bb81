// Package oidclogin logs users in through an OpenID Connect provider, on any number of pods, and ends their sessions
// when the provider requests it. It is a module of its own, on golang.org/x/oauth2 and coreos/go-oidc.
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
//   - State, nonce, PKCE verifier and the page to return to are one one-time value in the database. Any pod can
//     finish a login that another pod has begun, an attempt works once, and the database alone does not reveal the
//     verifier (sessionstore.Config.Encrypt).
//   - A cookie binds attempts to the browser that began them, so an attacker cannot log a victim in with a prepared
//     link. Several attempts may be open, in several tabs.
//   - It checks the ID token's signature, issuer, audience, expiry, nonce and, if present, at_hash, and the issuer of
//     the authorization response (RFC 9207) if the provider sends it.
//   - Back-channel logout ends the session with the sid (including logins that have begun) or, without a sid, all
//     sessions of the subject. A logout token works once.
//
// It works with every kind of session in this module: those of sessionstore, and those of scsstore and gorillastore
// through their method Sessions.
//
// # Limits
//
//   - Response mode form_post is not supported: its request comes from the provider's site, without the cookie.
//   - Logout tokens are accepted for MaxLogoutAge after they were issued.
//   - Access and refresh tokens are returned, but not stored.
package oidclogin
