// Package stamp is about the short-lived cookies by which a pod notices that it has an older version of a session than
// the browser has seen written.
package stamp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// Age is how long a stamp is kept by the browser. A pod that may serve from memory is behind by less
	// (bus.Config.StaleAfter).
	Age = 10 * time.Second
	// slots is how many stamps a browser keeps. Versions take turns, so that a response which arrives late cannot take the
	// place of one that wrote just after it.
	slots  = 4
	suffix = "-at"
	// idLen is how much of the public id says whose version it is: the end, which is random.
	idLen = 12
)

// Name returns the name of the cookie for a version of a session whose own cookie is called base.
func Name(base string, version int64) string {
	return base + suffix + strconv.FormatInt(version%slots, 10)
}

// IsName reports whether a cookie is a stamp of base.
func IsName(base, name string) bool {
	rest, ok := strings.CutPrefix(name, base+suffix)
	return ok && len(rest) == 1 && '0' <= rest[0] && rest[0] < '0'+slots
}

// Text returns the stamp of a session's version.
func Text(version int64, id uuid.UUID) string {
	return strconv.FormatInt(version, 36) + "." + idText(id)
}

func idText(id uuid.UUID) string {
	text := id.String()
	return text[len(text)-idLen:]
}

// Stamps are those of a request, whichever sessions they are of.
type Stamps []string

// Of returns the stamps of a request.
func Of(r *http.Request, base string) (s Stamps) {
	if len(r.Header["Cookie"]) == 0 {
		return nil
	}
	for _, c := range r.Cookies() {
		if IsName(base, c.Name) {
			s = append(s, c.Value)
		}
	}
	return s
}

// Version returns the newest version of a session that the browser has seen written, 0 for none. Stamps of other
// sessions, and text that is none, count as none.
func (s Stamps) Version(id uuid.UUID) (newest int64) {
	for _, text := range s {
		number, of, ok := strings.Cut(text, ".")
		if !ok || of != idText(id) {
			continue
		}
		if version, err := strconv.ParseInt(number, 36, 64); err == nil {
			newest = max(newest, version)
		}
	}
	return newest
}
