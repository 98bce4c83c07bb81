package sessionstore

import (
	"embed"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queryFiles embed.FS

// queries are the statements of the store, rendered for one schema.
type queries struct {
	generation, enterUser, holdUser, loginStands, lockUser, lockSID                                                                            string
	get, getLocked, create, save, touch, rotate, firstUse                                                                                      string
	lockLogin, forgetUser, forgetAbsent, forgetSessions, revokeAllFloor, revokeAllUsers, revokeAllOthers, setDevice, setPolicy                 string
	revoke, revokeID, revokeUser, revokeOthers, revokeSID, logoutSID, evict                                                                    string
	count, list, bound, export, inspect, tierKey                                                                                               string
	put, take                                                                                                                                  string
	sweepLock, sweepBegin, sweepExpired, sweepOneTime, sweepLogouts, sweepForgotten, sweepDue, sweepWalk, sweepWalked, sweepDelete, sweepLater string
	sweepUsers, sweepEnded, sweepOrphans, sweepUsersDone, sweepPages, sweepEnd                                                                 string
	adopt, remember, remembers                                                                                                                 string
}

func loadQueries(schema string) *queries {
	load := func(name string) string { return sqltext.Load(queryFiles, "query/"+name+".sql", schema) }
	return &queries{
		generation: load("generation"), enterUser: load("enter_user"), holdUser: load("hold_user"), loginStands: load("login_stands"), lockUser: load("lock_user"), lockSID: load("lock_sid"),
		get: load("get"), getLocked: load("get") + "\nFOR UPDATE OF s", create: load("create"), save: load("save"), touch: load("touch"), rotate: load("rotate"), firstUse: load("first_use"),
		revoke: load("revoke"), revokeID: load("revoke_id"), revokeUser: load("revoke_user"), revokeOthers: load("revoke_others"),
		revokeSID: load("revoke_sid"), logoutSID: load("logout_sid"), evict: load("evict"),
		lockLogin: load("lock_login"), forgetUser: load("forget_user"), forgetAbsent: load("forget_absent"), forgetSessions: load("forget_sessions"),
		revokeAllFloor: load("revoke_all_floor"), revokeAllUsers: load("revoke_all_users"), revokeAllOthers: load("revoke_all_others"),
		setDevice: load("set_device"), setPolicy: load("set_policy"),
		count: load("count"), list: load("list"), bound: load("bound"), export: load("export"), inspect: load("inspect"),
		sweepLock: load("sweep_lock"), sweepBegin: load("sweep_begin"), sweepExpired: load("sweep_expired"), sweepOneTime: load("sweep_one_time"), sweepLogouts: load("sweep_logouts"),
		sweepForgotten: load("sweep_forgotten"), sweepDue: load("sweep_due"), sweepWalk: load("sweep_walk"), sweepWalked: load("sweep_walked"), sweepDelete: load("sweep_delete"), sweepLater: load("sweep_later"),
		sweepUsers: load("sweep_users"), sweepEnded: load("sweep_ended"), sweepOrphans: load("sweep_orphans"), sweepUsersDone: load("sweep_users_done"), sweepPages: load("sweep_pages"), sweepEnd: load("sweep_end"),
		put: load("put"), take: load("take"), tierKey: load("tier_key"), remember: load("remember"), remembers: load("remembers"), adopt: load("adopt"),
	}
}
