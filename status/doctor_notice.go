package status

import (
	"regexp"
	"strconv"
	"strings"
)

// holder finds the process in what the server says beside a NOTIFY when the queue is half full (AsyncQueueFillWarning in
// Postgres' async.c): the one exact word on who holds the queue that there is.
var holder = regexp.MustCompile(`process with PID (\d+) is among those with the oldest transactions`)

func holderOf(detail string) (pid string, ok bool) {
	m := holder.FindStringSubmatch(detail)
	if m == nil {
		return "", false
	}
	return m[1], true
}

func percent(part float64) string { return strconv.FormatFloat(part*100, 'f', 2, 64) + " %" }

func list(pids []int32) string {
	words := make([]string, len(pids))
	for i, pid := range pids {
		words[i] = strconv.Itoa(int(pid))
	}
	return strings.Join(words, ", ")
}

func deref(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}
