package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// errSteps is the end of a story in which not every step held; which did not has been printed.
var errSteps = errors.New("not every step held")

// streamTimeout is how long a stream may go on without its session; it takes milliseconds.
const streamTimeout = 10 * time.Second

// story is what the chapters share. One goroutine tells it.
type story struct {
	*stage
	out    io.Writer
	held   int
	failed int

	laptop, phone *browser // alice's
}

// tell walks through all of it. The error is errSteps if it came to its end and something did not hold.
func tell(ctx context.Context, st *stage, out io.Writer) error {
	s := &story{stage: st, out: out}
	s.laptop, s.phone = s.browser("laptop"), s.browser("phone")
	defer s.laptop.close()
	defer s.phone.close()
	begun := time.Now()
	for i, chapter := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A login with a password", s.password},
		{"A login through the provider that begins on one pod and ends on another", s.sso},
		{"What must not work", s.attacks},
		{"One device is ended from another, and its stream with it", s.endOne},
		{"Logout", s.logout},
		{"Log out everywhere", s.everywhere},
	} {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, chapter.title)
		if err := chapter.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	if s.failed > 0 {
		return fmt.Errorf("%w: %d of %d failed", errSteps, s.failed, s.held+s.failed)
	}
	fmt.Fprintf(out, "\nEvery step held, all %d. The story took %.1f s.\n", s.held, time.Since(begun).Seconds())
	return nil
}

// check prints a step and whether it held.
func (s *story) check(ok bool, format string, args ...any) {
	mark := "ok    "
	if ok {
		s.held++
	} else {
		s.failed++
		mark = "FAILED"
	}
	fmt.Fprintf(s.out, "   %s "+format+"\n", append([]any{mark}, args...)...)
}

func (s *story) password(ctx context.Context) error {
	a, err := s.laptop.get(ctx, "/")
	if err != nil {
		return err
	}
	s.check(a.status == http.StatusOK && strings.Contains(a.body, "<h1>Log in"), "pod %s shows a stranger how to log in", a.pod)
	if a, err = s.laptop.login(ctx, "alice", "wrong"); err != nil {
		return err
	}
	s.check(a.status == http.StatusForbidden && a.cookie == nil, "pod %s refuses a wrong password: %q", a.pod, a.text())
	b, err := s.laptop.login(ctx, "nobody", "wrong")
	if err != nil {
		return err
	}
	s.check(b.status == a.status && b.body == a.body, "pod %s says the same of a name that nobody has", b.pod)
	if a, err = s.laptop.login(ctx, "alice", s.passwords["alice"]); err != nil {
		return err
	}
	s.check(a.status == http.StatusSeeOther && a.cookie != nil, "pod %s lets alice in with the right one", a.pod)
	if a.cookie == nil {
		return errors.New("no cookie")
	}
	s.check(s.goodCookie(a.cookie), "its cookie: %s", attributes(a.cookie))
	return s.everywhereIn(ctx, s.laptop, "alice", "password")
}

// goodCookie says whether a cookie is as it has to be.
func (s *story) goodCookie(c *http.Cookie) bool {
	return s.isSession(c.Name) && c.Secure == !s.plain && c.HttpOnly &&
		c.SameSite == http.SameSiteLaxMode && c.Path == "/" && c.Domain == ""
}

// attributes are all of a cookie but its value.
func attributes(c *http.Cookie) string {
	shown := *c
	shown.Value = ""
	_, rest, _ := strings.Cut(shown.String(), ";")
	return c.Name + ";" + rest
}

// everywhereIn asks for the session through the front until every pod has answered, and on no other way.
func (s *story) everywhereIn(ctx context.Context, b *browser, user, method string) error {
	var pods []string
	for range s.pods {
		got, pod, err := b.me(ctx)
		if err != nil {
			return err
		}
		if got.User == user && got.Method == method {
			pods = append(pods, pod)
		}
	}
	slices.Sort(pods)
	s.check(slices.Equal(pods, podNames), "the next requests go to all pods, and %s know the %s as %s, by %s", list(pods), b.name, user, method)
	return nil
}

// everywhereOut asks every pod itself, the moment that a session was said to be over.
func (s *story) everywhereOut(ctx context.Context, b *browser) error {
	token := b.last
	var refused []string
	for i, p := range s.pods {
		status, err := b.present(ctx, p, token)
		if err != nil {
			return err
		}
		if status == http.StatusUnauthorized {
			refused = append(refused, podNames[i])
		}
	}
	s.check(token != "" && slices.Equal(refused, podNames), "at once the %s's cookie is refused on %s", b.name, list(refused))
	return nil
}

func list(pods []string) string {
	if len(pods) == 0 {
		return "no pod"
	}
	return strings.Join(pods, ", ")
}

func (s *story) sso(ctx context.Context) error {
	t, err := s.phone.throughProvider(ctx, "alice")
	if err != nil {
		return err
	}
	s.check(t.begun != t.ended, "begun on pod %s, come back to pod %s, whose memory knows nothing of it", t.begun, t.ended)
	s.check(t.answer.status == http.StatusSeeOther && t.answer.cookie != nil, "state, nonce and PKCE verifier were found there: the phone is in")
	if t.answer.cookie == nil {
		return fmt.Errorf("no cookie: %s", t.answer.text())
	}
	s.check(s.goodCookie(t.answer.cookie), "its cookie: %s", attributes(t.answer.cookie))
	return s.everywhereIn(ctx, s.phone, "alice", "provider")
}

// attacks are what an OAuth client has to withstand.
func (s *story) attacks(ctx context.Context) error {
	victim, other := s.browser("victim's desk"), s.browser("desk")
	defer victim.close()
	defer other.close()
	t, err := other.throughProvider(ctx, "bob")
	if err != nil {
		return err
	}
	again, err := other.get(ctx, t.callback)
	if err != nil {
		return err
	}
	s.check(t.answer.cookie != nil && again.status == http.StatusBadRequest && again.cookie == nil,
		"pod %s refuses the same answer of the provider a second time: %q", again.pod, again.text())

	t, err = other.untilCallback(ctx, "bob")
	if err != nil {
		return err
	}
	planted, err := victim.get(ctx, t.callback)
	if err != nil {
		return err
	}
	s.check(planted.status == http.StatusBadRequest && planted.cookie == nil,
		"pod %s does not log a browser in as bob by a link that bob's has prepared", planted.pod)

	t, err = other.untilCallback(ctx, "")
	if err != nil {
		return err
	}
	denied, err := other.get(ctx, t.callback)
	if err != nil {
		return err
	}
	s.check(denied.status == http.StatusForbidden && denied.cookie == nil, "who would rather not tell the provider is not let in")

	forged, err := other.postFrom(ctx, "https://elsewhere.example", "/logout/everywhere")
	if err != nil {
		return err
	}
	s.check(forged.status == http.StatusForbidden, "pod %s refuses a form that another site has sent", forged.pod)
	got, _, err := other.me(ctx)
	if err != nil {
		return err
	}
	s.check(got.User == "bob", "and bob is still in")
	return nil
}

func (s *story) endOne(ctx context.Context) error {
	stream, err := s.phone.stream(ctx)
	if err != nil {
		return err
	}
	defer stream.close()
	s.check(stream.first(streamTimeout) == "time", "the phone has a stream open on pod %s", stream.pod)
	all, err := s.laptop.devices(ctx)
	if err != nil {
		return err
	}
	mine := slices.IndexFunc(all, func(d device) bool { return d.Current })
	s.check(len(all) == 2 && mine >= 0 && all[mine].Device.UserAgent == s.laptop.agent(), "the laptop lists %s", describe(all))
	phone := slices.IndexFunc(all, func(d device) bool { return d.Device.UserAgent == s.phone.agent() })
	if phone < 0 {
		return errors.New("the phone is not in the list")
	}
	sent := time.Now()
	a, err := s.laptop.post(ctx, "/devices/"+all[phone].ID.String()+"/end", nil)
	if err != nil {
		return err
	}
	answered := time.Now()
	s.check(a.status == http.StatusSeeOther && a.pod != stream.pod, "the laptop ends the phone's session on pod %s; all pods confirm it %s later", a.pod, ms(answered.Sub(sent)))
	if answered.Sub(sent) > time.Second {
		fmt.Fprintln(s.out, "          (Pods have just been started: until they have watched each other for a lease, its end is waited for.)")
	}
	if err := s.everywhereOut(ctx, s.phone); err != nil {
		return err
	}
	end, at := stream.last(streamTimeout)
	s.check(end == "over: revoked", "the stream on pod %s ended %s after the request was sent: %s", stream.pod, ms(at.Sub(sent)), end)
	if err := s.everywhereIn(ctx, s.laptop, "alice", "password"); err != nil {
		return err
	}
	if a, err = s.laptop.post(ctx, "/devices/"+all[phone].ID.String()+"/end", nil); err != nil {
		return err
	}
	s.check(a.status == http.StatusNotFound, "to end it again: %q", a.text())
	return nil
}

func describe(all []device) string {
	var texts []string
	for _, d := range all {
		texts = append(texts, fmt.Sprintf("%s (by %s)", d.Device.UserAgent, d.Device.Method))
	}
	return strings.Join(texts, ", ")
}

func (s *story) logout(ctx context.Context) error {
	tablet := s.browser("tablet")
	defer tablet.close()
	if _, err := tablet.login(ctx, "alice", s.passwords["alice"]); err != nil {
		return err
	}
	a, err := tablet.post(ctx, "/logout", nil)
	if err != nil {
		return err
	}
	s.check(a.status == http.StatusSeeOther, "the tablet logs in and, on pod %s, out", a.pod)
	if err := s.everywhereOut(ctx, tablet); err != nil {
		return err
	}
	gone := tablet.token() == ""
	if a, err = tablet.get(ctx, a.location); err != nil {
		return err
	}
	s.check(gone && strings.Contains(a.body, "You are logged out"), "its cookie is gone, and pod %s says so", a.pod)
	return nil
}

func (s *story) everywhere(ctx context.Context) error {
	bob := s.browser("kiosk")
	defer bob.close()
	if _, err := bob.login(ctx, "bob", s.passwords["bob"]); err != nil {
		return err
	}
	if _, err := s.phone.login(ctx, "alice", s.passwords["alice"]); err != nil {
		return err
	}
	tablet := s.browser("tablet")
	defer tablet.close()
	if _, err := tablet.throughProvider(ctx, "alice"); err != nil {
		return err
	}
	all := []*browser{s.laptop, s.phone, tablet}
	var streams []*stream
	var pods []string
	for _, b := range all {
		stream, err := b.stream(ctx)
		if err != nil {
			return err
		}
		defer stream.close() //nolint:gocritic // three streams, to the end of this function
		if stream.first(streamTimeout) == "time" {
			pods = append(pods, stream.pod)
		}
		streams = append(streams, stream)
	}
	slices.Sort(pods)
	s.check(slices.Equal(pods, podNames), "laptop, phone and tablet have streams open, on %s", list(pods))
	sent := time.Now()
	a, err := s.phone.post(ctx, "/logout/everywhere", nil)
	if err != nil {
		return err
	}
	s.check(a.status == http.StatusSeeOther, "the phone logs out everywhere on pod %s; all pods confirm it %s later", a.pod, ms(time.Since(sent)))
	for _, b := range all {
		if err := s.everywhereOut(ctx, b); err != nil {
			return err
		}
	}
	for _, stream := range streams {
		end, at := stream.last(streamTimeout)
		s.check(end == "over: revoked", "the stream on pod %s ended %s after the request was sent: %s", stream.pod, ms(at.Sub(sent)), end)
	}
	if err := s.everywhereIn(ctx, bob, "bob", "password"); err != nil {
		return err
	}
	if _, err := s.laptop.login(ctx, "alice", s.passwords["alice"]); err != nil {
		return err
	}
	list, err := s.laptop.devices(ctx)
	if err != nil {
		return err
	}
	s.check(len(list) == 1, "alice logs in anew and sees one device")
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
