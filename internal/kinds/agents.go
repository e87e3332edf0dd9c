package kinds

import "hedgerow"

// agentRule: the spec of an Agent holds registry passwords, password hashes
// and telemetry tokens, so no path below it is listed here, ever. What moves
// every 15 seconds is a vital, so that it makes no history.
var agentRule = hedgerow.ContentRule{
	Keep: []string{
		"metadata.generation",
		"status.version", "status.installID", "status.runID", "status.bootID",
		"status.lastAppliedGen", "status.lastAttemptGen", "status.rebootRequired",
		"status.conditions.*.type", "status.conditions.*.status", "status.conditions.*.reason",
		"status.state.nos.asicVersion", "status.state.nos.buildCommit", "status.state.nos.buildDate",
		"status.state.nos.builtBy", "status.state.nos.configDBVersion", "status.state.nos.distributionVersion",
		"status.state.nos.hardwareVersion", "status.state.nos.hwskuVersion", "status.state.nos.kernelVersion",
		"status.state.nos.mfgName", "status.state.nos.platformName", "status.state.nos.productDescription",
		"status.state.nos.productVersion", "status.state.nos.serialNumber", "status.state.nos.softwareVersion",
		"status.state.firmware.*", "status.state.roce", "status.state.breakouts.**",
		"status.state.interfaces.*.enabled", "status.state.interfaces.*.admin", "status.state.interfaces.*.oper",
		"status.state.interfaces.*.mac", "status.state.interfaces.*.speed", "status.state.interfaces.*.auto",
		"status.state.interfaces.*.fec", "status.state.interfaces.*.errDisabled", "status.state.interfaces.*.change",
		"status.state.interfaces.*.lldpNeighbors.**",
		"status.state.transceivers.*.descr", "status.state.transceivers.*.cable", "status.state.transceivers.*.formFactor",
		"status.state.transceivers.*.connType", "status.state.transceivers.*.oper", "status.state.transceivers.*.present",
		"status.state.transceivers.*.vendor", "status.state.transceivers.*.vendorOUI", "status.state.transceivers.*.vendorPart",
		"status.state.transceivers.*.vendorRev", "status.state.transceivers.*.serial", "status.state.transceivers.*.firmware",
		"status.state.transceivers.*.length", "status.state.transceivers.*.cmis", "status.state.transceivers.*.cmisApp",
		"status.state.transceivers.*.cmisRev",
		"status.state.bgpNeighbors.*.*.state", "status.state.bgpNeighbors.*.*.enabled", "status.state.bgpNeighbors.*.*.localAS",
		"status.state.bgpNeighbors.*.*.peerAS", "status.state.bgpNeighbors.*.*.peerGroup", "status.state.bgpNeighbors.*.*.peerType",
		"status.state.bgpNeighbors.*.*.remoteRouterID", "status.state.bgpNeighbors.*.*.lastEstab",
		"status.state.bgpNeighbors.*.*.lastReset", "status.state.bgpNeighbors.*.*.lastResetReason",
		"status.state.bgpNeighbors.*.*.shutdownMsg",
		"status.state.bfdPeers.*.*.state", "status.state.bfdPeers.*.*.profile", "status.state.bfdPeers.*.*.lastUpTime",
		"status.state.platform.fans.*.dir", "status.state.platform.fans.*.presence", "status.state.platform.fans.*.status",
		"status.state.platform.psus.*.presence", "status.state.platform.psus.*.status",
		"status.state.platform.temps.*.alarms", "status.state.platform.temps.*.highThreshold", "status.state.platform.temps.*.lowThreshold",
		"status.state.platform.temps.*.critHighThreshold", "status.state.platform.temps.*.critLowThreshold",
		// names of releases before 25.04
		"status.state.interfaces.*.adminStatus", "status.state.interfaces.*.operStatus",
		"status.state.bgpNeighbors.*.*.sessionState",
	},
	Vitals: []string{
		"status.lastHeartbeat", "status.lastAppliedTime", "status.lastAttemptTime",
		"status.state.nos.uptime",
		"status.state.interfaces.*.counters.**", "status.state.interfaces.*.linkFlapCount",
		"status.state.bgpNeighbors.*.*.msgs.**", "status.state.bgpNeighbors.*.*.prefixes.**",
		"status.state.bgpNeighbors.*.*.connDropped", "status.state.bgpNeighbors.*.*.estabTrans",
		"status.state.bgpNeighbors.*.*.lastRead", "status.state.bgpNeighbors.*.*.lastWrite",
		"status.state.bfdPeers.*.*.fails",
		"status.state.criticalResources.**",
		"status.state.platform.fans.*.speed",
		"status.state.platform.psus.*.inCurrent", "status.state.platform.psus.*.inPower", "status.state.platform.psus.*.inVoltage",
		"status.state.platform.psus.*.outCurrent", "status.state.platform.psus.*.outPower", "status.state.platform.psus.*.outVoltage",
		"status.state.platform.temps.*.temp",
		"status.state.transceivers.*.temp", "status.state.transceivers.*.voltage", "status.state.transceivers.*.channels.**",
	},
}

var gatewayAgentRule = hedgerow.ContentRule{
	Keep: []string{
		"metadata.generation",
		"status.agentVersion", "status.lastAppliedGen",
		"status.state.dataplane.version", "status.state.frr.lastAppliedGen",
		"status.state.bgp.vrfs.*.neighbors.*.enabled", "status.state.bgp.vrfs.*.neighbors.*.localAS",
		"status.state.bgp.vrfs.*.neighbors.*.peerAS", "status.state.bgp.vrfs.*.neighbors.*.remoteRouterID",
		"status.state.bgp.vrfs.*.neighbors.*.sessionState", "status.state.bgp.vrfs.*.neighbors.*.lastResetReason",
	},
	Vitals: []string{
		"status.lastHeartbeat", "status.lastAppliedTime", "status.state.lastCollectedTime",
		"status.state.peerings.**", "status.state.vpcs.**",
		"status.state.bgp.vrfs.*.neighbors.*.messages.**", "status.state.bgp.vrfs.*.neighbors.*.connectionsDropped",
		"status.state.bgp.vrfs.*.neighbors.*.establishedTransitions",
		"status.state.bgp.vrfs.*.neighbors.*.ipv4UnicastPrefixes.**", "status.state.bgp.vrfs.*.neighbors.*.ipv6UnicastPrefixes.**",
		"status.state.bgp.vrfs.*.neighbors.*.l2VPNEVPNPrefixes.**",
	},
}
