// Package stamp is the text of the short-lived cookie by which a pod notices that it has an older version of a session
// than the browser has seen written.
package stamp

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// Age is how long a stamp is kept by the browser. A pod that may serve from memory is behind by less
	// (bus.Config.StaleAfter).
	Age = 10 * time.Second
	// Slots is how many stamps a browser keeps: versions take turns.
	Slots = 4
	// idLen is how much of the public id says whose version it is: the end, which is random.
	idLen = 12
)

// Text returns the stamp of a session's version. The session's public id says whose it is.
func Text(version int64, id uuid.UUID) string {
	return strconv.FormatInt(version, 36) + "." + idText(id)
}

// Version returns the version of a stamp, and 0 for text that is none or of another session.
func Version(text string, id uuid.UUID) int64 {
	number, of, ok := strings.Cut(text, ".")
	if !ok || of != idText(id) {
		return 0
	}
	version, err := strconv.ParseInt(number, 36, 64)
	if err != nil || version < 0 {
		return 0
	}
	return version
}

func idText(id uuid.UUID) string {
	text := id.String()
	return text[len(text)-idLen:]
}
