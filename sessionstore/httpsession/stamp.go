package httpsession

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// stampOf returns the newest version of a session's data that the browser has seen written, 0 for none.
func (j jar) stampOf(r *http.Request, id uuid.UUID) (newest int64) {
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, j.base+"-at") && len(c.Name) == len(j.base)+4 {
			newest = max(newest, stamp.Version(c.Value, id))
		}
	}
	return newest
}

// setStamp notes a version that was written. Versions take turns with a few names, so that a response which arrives late
// cannot take the place of one that wrote just after it.
func (j jar) setStamp(h http.Header, id uuid.UUID, version int64) {
	name := j.base + "-at" + strconv.FormatInt(version%stamp.Slots, 10)
	j.write(h, name, stamp.Text(version, id), int(stamp.Age/time.Second))
}
