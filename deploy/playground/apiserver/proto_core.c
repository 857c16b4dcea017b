/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field numbers of the built-in types in the Kubernetes API's protobuf form, which typed
 * clients send. The names are those of types_core.c; what is not listed here cannot come in
 * protobuf.
 */
#include "proto.h"

const struct proto_row PROTO_ROWS[] = {
    {"OwnerReference", "apiVersion=5 kind=1 name=3 uid=4 controller=6 blockOwnerDeletion=7"},
    {"ObjectMeta",
     "name=1 generateName=2 namespace=3 selfLink=4 uid=5 resourceVersion=6 generation=7 "
     "creationTimestamp=8 deletionTimestamp=9 deletionGracePeriodSeconds=10 labels=11 "
     "annotations=12 ownerReferences=13 finalizers=14 managedFields=17"},
    {"LabelSelector", "matchLabels=1 matchExpressions=2"},
    {"LabelSelectorRequirement", "key=1 operator=2 values=3"},
    {"Condition", "type=1 status=2 observedGeneration=3 lastTransitionTime=4 reason=5 message=6"},
    {"TypedReference",
     "apiVersion=5 kind=1 name=3 namespace=2 uid=4 resourceVersion=6 fieldPath=7"},
    {"NameReference", "name=1"},
    {"Pod", "metadata=1 spec=2 status=3"},
    {"PodSpec",
     "volumes=1 initContainers=20 containers=2 ephemeralContainers=34 restartPolicy=3 "
     "terminationGracePeriodSeconds=4 activeDeadlineSeconds=5 dnsPolicy=6 nodeSelector=7 "
     "serviceAccountName=8 serviceAccount=9 automountServiceAccountToken=21 nodeName=10 "
     "hostNetwork=11 hostPID=12 hostIPC=13 shareProcessNamespace=27 securityContext=14 "
     "imagePullSecrets=15 hostname=16 subdomain=17 affinity=18 schedulerName=19 "
     "tolerations=22 hostAliases=23 priorityClassName=24 priority=25 dnsConfig=26 "
     "readinessGates=28 runtimeClassName=29 enableServiceLinks=30 preemptionPolicy=31 "
     "overhead=32 topologySpreadConstraints=33 setHostnameAsFQDN=35 os=36 hostUsers=37 "
     "schedulingGates=38 resourceClaims=39 resources=40"},
    {"TopologySpreadConstraint",
     "maxSkew=1 topologyKey=2 whenUnsatisfiable=3 labelSelector=4 minDomains=5 "
     "nodeAffinityPolicy=6 nodeTaintsPolicy=7 matchLabelKeys=8"},
    {"Toleration", "key=1 operator=2 value=3 effect=4 tolerationSeconds=5"},
    {"HostAlias", "ip=1 hostnames=2"},
    {"Container",
     "name=1 image=2 command=3 args=4 workingDir=5 ports=6 envFrom=19 env=7 resources=8 "
     "resizePolicy=23 restartPolicy=24 volumeMounts=9 volumeDevices=21 livenessProbe=10 "
     "readinessProbe=11 startupProbe=22 lifecycle=12 terminationMessagePath=13 "
     "terminationMessagePolicy=20 imagePullPolicy=14 securityContext=15 stdin=16 "
     "stdinOnce=17 tty=18"},
    {"ContainerPort", "name=1 hostPort=2 containerPort=3 protocol=4 hostIP=5"},
    {"EnvVar", "name=1 value=2 valueFrom=3"},
    {"ResourceRequirements", "limits=1 requests=2 claims=3"},
    {"VolumeMount",
     "name=1 readOnly=2 recursiveReadOnly=7 mountPath=3 subPath=4 mountPropagation=5 "
     "subPathExpr=6"},
    {"Probe", "initialDelaySeconds=2 timeoutSeconds=3 periodSeconds=4 successThreshold=5 "
              "failureThreshold=6 terminationGracePeriodSeconds=7"},
    {"ExecAction", "command=1"},
    {"HTTPGetAction", "path=1 port=2 host=3 scheme=4 httpHeaders=5"},
    {"TCPSocketAction", "port=1 host=2"},
    {"GRPCAction", "port=1 service=2"},
    {"Volume", "name=1"},
    {"EmptyDirVolumeSource", "medium=1 sizeLimit=2"},
    {"HostPathVolumeSource", "path=1 type=2"},
    {"SecretVolumeSource", "secretName=1 items=2 defaultMode=3 optional=4"},
    {"ConfigMapVolumeSource", "items=2 defaultMode=3 optional=4"},
    {"KeyToPath", "key=1 path=2 mode=3"},
    {"PVCVolumeSource", "claimName=1 readOnly=2"},
    {"PodStatus",
     "phase=1 conditions=2 message=3 reason=4 nominatedNodeName=11 hostIP=5 hostIPs=16 "
     "podIP=6 podIPs=12 startTime=7 initContainerStatuses=10 containerStatuses=8 "
     "ephemeralContainerStatuses=13 qosClass=9 resize=14"},
    {"IPEntry", "ip=1"},
    {"PodCondition", "type=1 status=2 lastProbeTime=3 lastTransitionTime=4 reason=5 message=6"},
    {"ContainerStatus",
     "name=1 state=2 lastState=3 ready=4 restartCount=5 image=6 imageID=7 containerID=8 "
     "started=9 allocatedResources=10 resources=11 volumeMounts=12 user=13"},
    {"ContainerState", "waiting=1 running=2 terminated=3"},
    {"PodTemplateSpec", "metadata=1 spec=2"},
    {"Binding", "metadata=1 target=2"},
    {"Service", "metadata=1 spec=2 status=3"},
    {"ServiceSpec",
     "ports=1 selector=2 clusterIP=3 clusterIPs=18 type=4 externalIPs=5 sessionAffinity=7 "
     "sessionAffinityConfig=14 loadBalancerIP=8 loadBalancerSourceRanges=9 "
     "loadBalancerClass=21 externalName=10 externalTrafficPolicy=11 "
     "internalTrafficPolicy=22 healthCheckNodePort=12 publishNotReadyAddresses=13 "
     "ipFamilies=19 ipFamilyPolicy=17 allocateLoadBalancerNodePorts=20 "
     "trafficDistribution=23"},
    {"ServicePort", "name=1 protocol=2 appProtocol=6 port=3 targetPort=4 nodePort=5"},
    {"Endpoints", "metadata=1 subsets=2"},
    {"EndpointSubset", "addresses=1 notReadyAddresses=2 ports=3"},
    {"EndpointAddress", "ip=1 hostname=3 nodeName=4 targetRef=2"},
    {"EndpointPort", "name=1 port=2 protocol=3 appProtocol=4"},
    {"EndpointSlice", "metadata=1 addressType=4 endpoints=2 ports=3"},
    {"Endpoint", "addresses=1 conditions=2 hostname=3 targetRef=4 nodeName=6 zone=7 "
                 "deprecatedTopology=5 hints=8"},
    {"ConfigMap", "metadata=1 immutable=4 data=2 binaryData=3"},
    {"Secret", "metadata=1 immutable=5 data=2 stringData=4 type=3"},
    {"PersistentVolumeClaim", "metadata=1 spec=2 status=3"},
    {"PersistentVolumeClaimSpec",
     "accessModes=1 selector=4 resources=2 volumeName=3 storageClassName=5 volumeMode=6 "
     "dataSource=7 dataSourceRef=8 volumeAttributesClassName=9"},
    {"PersistentVolumeClaimStatus",
     "phase=1 accessModes=2 capacity=3 conditions=4 allocatedResources=5 "
     "allocatedResourceStatuses=7 currentVolumeAttributesClassName=8 modifyVolumeStatus=9"},
    {"PersistentVolume", "metadata=1 spec=2 status=3"},
    {"PersistentVolumeSpec", "capacity=1 accessModes=3 claimRef=4 persistentVolumeReclaimPolicy=5 "
                             "storageClassName=6 mountOptions=7 volumeMode=8 nodeAffinity=9 "
                             "volumeAttributesClassName=10"},
    {"StorageClass", "metadata=1 provisioner=2 parameters=3 reclaimPolicy=4 mountOptions=5 "
                     "allowVolumeExpansion=6 volumeBindingMode=7 allowedTopologies=8"},
    {"Namespace", "metadata=1 spec=2 status=3"},
    {"NamespaceSpec", "finalizers=1"},
    {"NamespaceStatus", "phase=1 conditions=2"},
    {"Node", "metadata=1 spec=2 status=3"},
    {"NodeSpec", "podCIDR=1 podCIDRs=7 providerID=3 unschedulable=4 taints=5 configSource=6 "
                 "externalID=2"},
    {"Taint", "key=1 value=2 effect=3 timeAdded=4"},
    {"NodeStatus",
     "capacity=1 allocatable=2 phase=3 conditions=4 addresses=5 daemonEndpoints=6 "
     "nodeInfo=7 images=8 volumesInUse=9 volumesAttached=10 config=11 runtimeHandlers=12 "
     "features=13"},
    {"NodeCondition",
     "type=1 status=2 lastHeartbeatTime=3 lastTransitionTime=4 reason=5 message=6"},
    {"NodeAddress", "type=1 address=2"},
    {"ServiceAccount", "metadata=1 secrets=2 imagePullSecrets=3 automountServiceAccountToken=4"},
    {"Event", "metadata=1 involvedObject=2 reason=3 message=4 source=5 firstTimestamp=6 "
              "lastTimestamp=7 count=8 type=9 eventTime=10 series=11 action=12 related=13 "
              "reportingComponent=14 reportingInstance=15"},
    {"EventV1",
     "metadata=1 regarding=8 reason=7 note=10 deprecatedSource=12 "
     "deprecatedFirstTimestamp=13 deprecatedLastTimestamp=14 deprecatedCount=15 type=11 "
     "eventTime=2 series=3 action=6 related=9 reportingController=4 reportingInstance=5"},
    {"Lease", "metadata=1 spec=2"},
    {"LeaseSpec", "holderIdentity=1 leaseDurationSeconds=2 acquireTime=3 renewTime=4 "
                  "leaseTransitions=5 strategy=6 preferredHolder=7"},
    {"PodDisruptionBudget", "metadata=1 spec=2 status=3"},
    {"PodDisruptionBudgetSpec",
     "minAvailable=1 selector=2 maxUnavailable=3 unhealthyPodEvictionPolicy=4"},
    {"PodDisruptionBudgetStatus",
     "observedGeneration=1 disruptedPods=2 disruptionsAllowed=3 currentHealthy=4 "
     "desiredHealthy=5 expectedPods=6 conditions=7"},
    {"Job", "metadata=1 spec=2 status=3"},
    {"JobSpec",
     "parallelism=1 completions=2 activeDeadlineSeconds=3 backoffLimit=7 "
     "backoffLimitPerIndex=12 maxFailedIndexes=13 selector=4 manualSelector=5 template=6 "
     "ttlSecondsAfterFinished=8 completionMode=9 suspend=10 podFailurePolicy=11 "
     "podReplacementPolicy=14 successPolicy=16 managedBy=15"},
    {"JobStatus", "conditions=1 startTime=2 completionTime=3 active=4 ready=9 succeeded=5 failed=6 "
                  "terminating=11 completedIndexes=7 failedIndexes=10 uncountedTerminatedPods=8"},
    {"JobCondition", "type=1 status=2 lastProbeTime=3 lastTransitionTime=4 reason=5 message=6"},
    {"CronJob", "metadata=1 spec=2 status=3"},
    {"CronJobSpec", "schedule=1 timeZone=8 startingDeadlineSeconds=2 concurrencyPolicy=3 suspend=4 "
                    "jobTemplate=5 successfulJobsHistoryLimit=6 failedJobsHistoryLimit=7"},
    {"JobTemplateSpec", "metadata=1 spec=2"},
    {"Deployment", "metadata=1 spec=2 status=3"},
    {"DeploymentSpec", "replicas=1 selector=2 template=3 strategy=4 minReadySeconds=5 "
                       "revisionHistoryLimit=6 paused=7 progressDeadlineSeconds=9"},
    {"WorkloadStatus", "observedGeneration=1 replicas=2 updatedReplicas=3 readyReplicas=7 "
                       "availableReplicas=4 unavailableReplicas=5 collisionCount=8 conditions=6"},
    {"DeploymentCondition",
     "type=1 status=2 lastUpdateTime=6 lastTransitionTime=7 reason=4 message=5"},
    {"ReplicaSet", "metadata=1 spec=2 status=3"},
    {"ReplicaSetSpec", "replicas=1 minReadySeconds=4 selector=2 template=3"},
    {"StatefulSet", "metadata=1 spec=2 status=3"},
    {"StatefulSetSpec",
     "replicas=1 selector=2 template=3 volumeClaimTemplates=4 serviceName=5 "
     "podManagementPolicy=6 updateStrategy=7 revisionHistoryLimit=8 minReadySeconds=9 "
     "persistentVolumeClaimRetentionPolicy=10 ordinals=11"},
    {"DaemonSet", "metadata=1 spec=2 status=3"},
    {"DaemonSetSpec",
     "selector=1 template=2 updateStrategy=3 minReadySeconds=4 revisionHistoryLimit=6"},
    {"Scale", "metadata=1 spec=2 status=3"},
    {"ScaleSpec", "replicas=1"},
    {"PriorityClass", "metadata=1 value=2 globalDefault=3 description=4 preemptionPolicy=5"},
    {"NetworkPolicy", "metadata=1 spec=2"},
    {"Ingress", "metadata=1 spec=2 status=3"},
    {"Role", "metadata=1 rules=2"},
    {"ClusterRole", "metadata=1 rules=2 aggregationRule=3"},
    {"PolicyRule", "verbs=1 apiGroups=2 resources=3 resourceNames=4 nonResourceURLs=5"},
    {"RoleBinding", "metadata=1 subjects=2 roleRef=3"},
    {"ClusterRoleBinding", "metadata=1 subjects=2 roleRef=3"},
    {"Subject", "kind=1 apiGroup=2 name=3 namespace=4"},
    {"RoleRef", "apiGroup=1 kind=2 name=3"},
    {"SelfSubjectAccessReview", "metadata=1 spec=2 status=3"},
    {"SelfSubjectRulesReview", "metadata=1 spec=2 status=3"},
    {"SubjectAccessReview", "metadata=1 spec=2 status=3"},
    {"Eviction", "metadata=1 deleteOptions=2"},
    {"DeleteOptions", "gracePeriodSeconds=1 preconditions=2 orphanDependents=3 propagationPolicy=4 "
                      "dryRun=5"},
    {"Preconditions", "uid=1 resourceVersion=2"},
    {"SelfSubjectReview", "metadata=1 status=2"},
    {"TokenReview", "metadata=1 spec=2 status=3"},
    {"SelfSubjectAccessReviewSpec", "resourceAttributes=1 nonResourceAttributes=2"},
    {"ResourceAttributes",
     "namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7 fieldSelector=8 "
     "labelSelector=9"},
    {"NonResourceAttributes", "path=1 verb=2"},
    {"SelfSubjectRulesReviewSpec", "namespace=1"},
};

const size_t PROTO_ROW_COUNT = ARRAY_COUNT(PROTO_ROWS);
