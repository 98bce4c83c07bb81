// Package cookiename names the cookies of sessions after the tokens they hold. So a response can replace or delete the
// cookie that its request has sent, or has made, and no other: one that arrives late, after a login, a renewal or a logout
// in another tab, changes nothing.
package cookiename

import (
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"strings"
)

const (
	tagBytes = 5
	tagLen   = 8 // base32 of tagBytes
	// most is how many session cookies of one request are looked at. A browser has one, or two for a moment.
	most = 4
)

var tagEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Of returns the name of a token's cookie. It reveals nothing of the token.
func Of(base, token string) string {
	sum := sha256.Sum256([]byte("pgcoherence cookie " + token))
	return base + "-" + tagEncoding.EncodeToString(sum[:tagBytes])
}

// Is reports whether a cookie is one of base's. The bare name is that of cookies from before they were named after tokens.
func Is(base, name string) bool {
	if name == base {
		return true
	}
	tag, ok := strings.CutPrefix(name, base+"-")
	return ok && len(tag) == tagLen
}

// Sent returns the session cookies of a request, at most four.
func Sent(r *http.Request, base string) (sent []*http.Cookie) {
	if len(r.Header["Cookie"]) == 0 {
		return nil
	}
	for _, c := range r.Cookies() {
		if len(sent) < most && c.Value != "" && Is(base, c.Name) {
			sent = append(sent, c)
		}
	}
	return sent
}
