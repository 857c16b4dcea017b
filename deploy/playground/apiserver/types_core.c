/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of built-in types: field names, types, list keys and defaults of the Kubernetes API
 * that the playground keeps. Seldom used corners (affinity, exotic volumes) are open objects.
 */
#include "types.h"

const struct type_row TYPE_ROWS[] = {
    /* meta */
    {"meta.v1", "OwnerReference", "The owner of an object.",
     "apiVersion!:s kind!:s name!:s uid!:s controller:b blockOwnerDeletion:b"},
    {"meta.v1", "ObjectMeta", "Standard object metadata.",
     "name:s generateName:s namespace:s selfLink:s uid:s resourceVersion:s generation:i "
     "creationTimestamp:t deletionTimestamp:t deletionGracePeriodSeconds:i labels:ms "
     "annotations:ms "
     "ownerReferences:[OwnerReference]@uid finalizers:[s]@ managedFields:[o]"},
    {"meta.v1", "LabelSelector", "A query over labels.",
     "matchLabels:ms matchExpressions:[LabelSelectorRequirement]"},
    {"meta.v1", "LabelSelectorRequirement", NULL, "key!:s operator!:s values:[s]"},
    {"meta.v1", "Condition", "One aspect of the current state.",
     "type!:s status!:s observedGeneration:i lastTransitionTime:t reason:s message:s"},
    {"meta.v1", "TypedReference", NULL,
     "apiVersion:s apiGroup:s kind:s name:s namespace:s uid:s resourceVersion:s fieldPath:s"},
    {"meta.v1", "NameReference", NULL, "name:s namespace:s"},

    /* pods */
    {"core.v1", "Pod", "A group of containers that run together on one node.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:PodSpec status:PodStatus"},
    {"core.v1", "PodSpec", "What a Pod runs and where.",
     "volumes:[Volume]@name~ initContainers:[Container]@name containers!:[Container]@name "
     "ephemeralContainers:[o]@name restartPolicy:s=Always terminationGracePeriodSeconds:i=30 "
     "activeDeadlineSeconds:i dnsPolicy:s=ClusterFirst nodeSelector:ms serviceAccountName:s "
     "serviceAccount:s automountServiceAccountToken:b nodeName:s hostNetwork:b hostPID:b hostIPC:b "
     "shareProcessNamespace:b securityContext:o imagePullSecrets:[NameReference]@name hostname:s "
     "subdomain:s affinity:o schedulerName:s=default-scheduler tolerations:[Toleration] "
     "hostAliases:[HostAlias]@ip priorityClassName:s priority:i dnsConfig:o readinessGates:[o] "
     "runtimeClassName:s enableServiceLinks:b=true preemptionPolicy:s overhead:mq "
     "topologySpreadConstraints:[TopologySpreadConstraint]@topologyKey,whenUnsatisfiable "
     "setHostnameAsFQDN:b os:o hostUsers:b schedulingGates:[NameReference]@name "
     "resourceClaims:[o]@name resources:ResourceRequirements"},
    {"core.v1", "TopologySpreadConstraint", NULL,
     "maxSkew!:i topologyKey!:s whenUnsatisfiable!:s labelSelector:LabelSelector minDomains:i "
     "nodeAffinityPolicy:s nodeTaintsPolicy:s matchLabelKeys:[s]"},
    {"core.v1", "Toleration", NULL, "key:s operator:s value:s effect:s tolerationSeconds:i"},
    {"core.v1", "HostAlias", NULL, "ip!:s hostnames:[s]"},
    {"core.v1", "Container", "One program of a Pod.",
     "name!:s image:s command:[s] args:[s] workingDir:s "
     "ports:[ContainerPort]@containerPort,protocol envFrom:[o] env:[EnvVar]@name "
     "resources:ResourceRequirements resizePolicy:[o] restartPolicy:s "
     "volumeMounts:[VolumeMount]@mountPath volumeDevices:[o]@devicePath livenessProbe:Probe "
     "readinessProbe:Probe startupProbe:Probe lifecycle:o "
     "terminationMessagePath:s=/dev/termination-log terminationMessagePolicy:s=File "
     "imagePullPolicy:s=IfNotPresent securityContext:o stdin:b stdinOnce:b tty:b"},
    {"core.v1", "ContainerPort", NULL,
     "name:s hostPort:i containerPort!:i protocol:s=TCP hostIP:s"},
    {"core.v1", "EnvVar", NULL, "name!:s value:s valueFrom:o"},
    {"core.v1", "ResourceRequirements", NULL, "limits:mq requests:mq claims:[NameReference]@name"},
    {"core.v1", "VolumeMount", NULL,
     "name!:s readOnly:b recursiveReadOnly:s mountPath!:s subPath:s mountPropagation:s "
     "subPathExpr:s"},
    {"core.v1", "Probe", "A health check.",
     "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction grpc:GRPCAction "
     "initialDelaySeconds:i timeoutSeconds:i=1 periodSeconds:i=10 successThreshold:i=1 "
     "failureThreshold:i=3 terminationGracePeriodSeconds:i"},
    {"core.v1", "ExecAction", NULL, "command:[s]"},
    {"core.v1", "HTTPGetAction", NULL, "path:s port!:ios host:s scheme:s=HTTP httpHeaders:[o]"},
    {"core.v1", "TCPSocketAction", NULL, "port!:ios host:s"},
    {"core.v1", "GRPCAction", NULL, "port!:i service:s"},
    {"core.v1", "Volume", "Storage that containers of a Pod mount.",
     "name!:s emptyDir:EmptyDirVolumeSource hostPath:HostPathVolumeSource "
     "secret:SecretVolumeSource configMap:ConfigMapVolumeSource "
     "persistentVolumeClaim:PVCVolumeSource projected:o downwardAPI:o csi:o nfs:o ephemeral:o "
     "iscsi:o gcePersistentDisk:o awsElasticBlockStore:o cephfs:o rbd:o azureDisk:o azureFile:o "
     "fc:o flexVolume:o glusterfs:o cinder:o vsphereVolume:o portworxVolume:o scaleIO:o "
     "storageos:o quobyte:o photonPersistentDisk:o flocker:o gitRepo:o image:o"},
    {"core.v1", "EmptyDirVolumeSource", NULL, "medium:s sizeLimit:q"},
    {"core.v1", "HostPathVolumeSource", NULL, "path!:s type:s"},
    {"core.v1", "SecretVolumeSource", NULL,
     "secretName:s items:[KeyToPath] defaultMode:i=420 optional:b"},
    {"core.v1", "ConfigMapVolumeSource", NULL,
     "name:s items:[KeyToPath] defaultMode:i=420 optional:b"},
    {"core.v1", "KeyToPath", NULL, "key!:s path!:s mode:i"},
    {"core.v1", "PVCVolumeSource", NULL, "claimName!:s readOnly:b"},
    {"core.v1", "PodStatus", "What is known of a running Pod.",
     "observedGeneration:i phase:s conditions:[PodCondition]@type message:s reason:s "
     "nominatedNodeName:s hostIP:s hostIPs:[IPEntry] podIP:s podIPs:[IPEntry]@ip startTime:t "
     "initContainerStatuses:[ContainerStatus] containerStatuses:[ContainerStatus] "
     "ephemeralContainerStatuses:[ContainerStatus] qosClass:s resize:s"},
    {"core.v1", "IPEntry", NULL, "ip!:s"},
    {"core.v1", "PodCondition", NULL,
     "type!:s status!:s observedGeneration:i lastProbeTime:t lastTransitionTime:t reason:s "
     "message:s"},
    {"core.v1", "ContainerStatus", NULL,
     "name!:s state:ContainerState lastState:ContainerState ready:b restartCount:i image:s "
     "imageID:s containerID:s started:b allocatedResources:mq resources:o volumeMounts:[o] user:o"},
    {"core.v1", "ContainerState", NULL, "waiting:o running:o terminated:o"},
    {"core.v1", "PodTemplateSpec", "The Pod that will be made.",
     "metadata:ObjectMeta spec:PodSpec"},
    {"core.v1", "Binding", "Puts a Pod on a node.",
     "apiVersion:s kind:s metadata:ObjectMeta target!:TypedReference"},

    /* services */
    {"core.v1", "Service", "A name and address in front of Pods.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:ServiceSpec status:o"},
    {"core.v1", "ServiceSpec", "The ports and the selector of a Service.",
     "ports:[ServicePort]@port,protocol selector:ms clusterIP:s clusterIPs:[s] type:s=ClusterIP "
     "externalIPs:[s] sessionAffinity:s=None sessionAffinityConfig:o loadBalancerIP:s "
     "loadBalancerSourceRanges:[s] loadBalancerClass:s externalName:s externalTrafficPolicy:s "
     "internalTrafficPolicy:s healthCheckNodePort:i publishNotReadyAddresses:b ipFamilies:[s] "
     "ipFamilyPolicy:s allocateLoadBalancerNodePorts:b trafficDistribution:s"},
    {"core.v1", "ServicePort", NULL,
     "name:s protocol:s=TCP appProtocol:s port!:i targetPort:ios nodePort:i"},
    {"core.v1", "Endpoints", "The addresses behind a Service.",
     "apiVersion:s kind:s metadata:ObjectMeta subsets:[EndpointSubset]"},
    {"core.v1", "EndpointSubset", NULL,
     "addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointPort]"},
    {"core.v1", "EndpointAddress", NULL, "ip!:s hostname:s nodeName:s targetRef:TypedReference"},
    {"core.v1", "EndpointPort", NULL, "name:s port:i protocol:s=TCP appProtocol:s"},
    {"discovery.v1", "EndpointSlice", "A part of the addresses behind a Service.",
     "apiVersion:s kind:s metadata:ObjectMeta addressType!:s endpoints:[Endpoint] "
     "ports:[EndpointPort]"},
    {"discovery.v1", "Endpoint", NULL,
     "addresses!:[s] conditions:o hostname:s targetRef:TypedReference nodeName:s zone:s "
     "deprecatedTopology:ms hints:o"},

    /* configuration and storage */
    {"core.v1", "ConfigMap", "Plain configuration.",
     "apiVersion:s kind:s metadata:ObjectMeta immutable:b data:ms binaryData:my"},
    {"core.v1", "Secret", "Configuration that is kept from view.",
     "apiVersion:s kind:s metadata:ObjectMeta immutable:b data:my stringData:ms type:s=Opaque"},
    {"core.v1", "PersistentVolumeClaim", "A wish for storage.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:PersistentVolumeClaimSpec "
     "status:PersistentVolumeClaimStatus"},
    {"core.v1", "PersistentVolumeClaimSpec", NULL,
     "accessModes:[s] selector:LabelSelector resources:ResourceRequirements volumeName:s "
     "storageClassName:s volumeMode:s=Filesystem dataSource:TypedReference "
     "dataSourceRef:TypedReference volumeAttributesClassName:s"},
    {"core.v1", "PersistentVolumeClaimStatus", NULL,
     "phase:s accessModes:[s] capacity:mq conditions:[PodCondition]@type allocatedResources:mq "
     "allocatedResourceStatuses:ms currentVolumeAttributesClassName:s modifyVolumeStatus:o"},
    {"core.v1", "PersistentVolume", "A piece of storage.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:PersistentVolumeSpec status:o"},
    {"core.v1", "PersistentVolumeSpec", NULL,
     "capacity:mq accessModes:[s] claimRef:TypedReference persistentVolumeReclaimPolicy:s=Retain "
     "storageClassName:s mountOptions:[s] volumeMode:s=Filesystem nodeAffinity:o "
     "hostPath:HostPathVolumeSource local:o nfs:o csi:o volumeAttributesClassName:s iscsi:o fc:o "
     "rbd:o cephfs:o awsElasticBlockStore:o gcePersistentDisk:o azureDisk:o"},
    {"storage.v1", "StorageClass", "How volumes of a class are made.",
     "apiVersion:s kind:s metadata:ObjectMeta provisioner!:s parameters:ms "
     "reclaimPolicy:s=Delete mountOptions:[s] allowVolumeExpansion:b "
     "volumeBindingMode:s=Immediate allowedTopologies:[o]"},

    /* cluster */
    {"core.v1", "Namespace", "A room for names.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus"},
    {"core.v1", "NamespaceSpec", NULL, "finalizers:[s]"},
    {"core.v1", "NamespaceStatus", NULL, "phase:s conditions:[PodCondition]@type"},
    {"core.v1", "Node", "A machine that runs Pods.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:NodeSpec status:NodeStatus"},
    {"core.v1", "NodeSpec", NULL,
     "podCIDR:s podCIDRs:[s]@ providerID:s unschedulable:b taints:[Taint] configSource:o "
     "externalID:s"},
    {"core.v1", "Taint", NULL, "key!:s value:s effect!:s timeAdded:t"},
    {"core.v1", "NodeStatus", NULL,
     "capacity:mq allocatable:mq phase:s conditions:[NodeCondition]@type "
     "addresses:[NodeAddress]@type daemonEndpoints:o nodeInfo:o images:[o] volumesInUse:[s] "
     "volumesAttached:[o] config:o runtimeHandlers:[o] features:o"},
    {"core.v1", "NodeCondition", NULL,
     "type!:s status!:s lastHeartbeatTime:t lastTransitionTime:t reason:s message:s"},
    {"core.v1", "NodeAddress", NULL, "type!:s address!:s"},
    {"core.v1", "ServiceAccount", "An identity for programs.",
     "apiVersion:s kind:s metadata:ObjectMeta secrets:[TypedReference]@name "
     "imagePullSecrets:[NameReference]@name automountServiceAccountToken:b"},
    {"core.v1", "Event", "Something that happened to an object.",
     "apiVersion:s kind:s metadata:ObjectMeta involvedObject:TypedReference reason:s message:s "
     "source:o firstTimestamp:t lastTimestamp:t count:i type:s eventTime:t series:o action:s "
     "related:TypedReference reportingComponent:s reportingInstance:s"},
    {"events.v1", "EventV1", "Something that happened to an object.",
     "apiVersion:s kind:s metadata:ObjectMeta regarding:TypedReference reason:s note:s "
     "deprecatedSource:o deprecatedFirstTimestamp:t deprecatedLastTimestamp:t deprecatedCount:i "
     "type:s eventTime:t series:o action:s related:TypedReference reportingController:s "
     "reportingInstance:s"},
    {"coordination.v1", "Lease", "A lock with an expiry.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:LeaseSpec"},
    {"coordination.v1", "LeaseSpec", NULL,
     "holderIdentity:s leaseDurationSeconds:i acquireTime:t renewTime:t leaseTransitions:i "
     "strategy:s preferredHolder:s"},
    {"policy.v1", "PodDisruptionBudget", "How many Pods may be away at once.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:PodDisruptionBudgetSpec "
     "status:PodDisruptionBudgetStatus"},
    {"policy.v1", "PodDisruptionBudgetSpec", NULL,
     "minAvailable:ios selector:LabelSelector maxUnavailable:ios unhealthyPodEvictionPolicy:s"},
    {"policy.v1", "PodDisruptionBudgetStatus", NULL,
     "observedGeneration:i disruptedPods:ms disruptionsAllowed:i currentHealthy:i "
     "desiredHealthy:i expectedPods:i conditions:[Condition]@type"},

    /* workloads */
    {"batch.v1", "Job", "Pods that run to their end.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:JobSpec status:JobStatus"},
    {"batch.v1", "JobSpec", NULL,
     "parallelism:i=1 completions:i=1 activeDeadlineSeconds:i backoffLimit:i=6 "
     "backoffLimitPerIndex:i maxFailedIndexes:i selector:LabelSelector manualSelector:b "
     "template!:PodTemplateSpec ttlSecondsAfterFinished:i completionMode:s=NonIndexed "
     "suspend:b=false podFailurePolicy:o podReplacementPolicy:s successPolicy:o managedBy:s"},
    {"batch.v1", "JobStatus", NULL,
     "conditions:[JobCondition]@type startTime:t completionTime:t active:i ready:i succeeded:i "
     "failed:i terminating:i completedIndexes:s failedIndexes:s uncountedTerminatedPods:o"},
    {"batch.v1", "JobCondition", NULL,
     "type!:s status!:s lastProbeTime:t lastTransitionTime:t reason:s message:s"},
    {"batch.v1", "CronJob", "Jobs by the clock.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:CronJobSpec status:o"},
    {"batch.v1", "CronJobSpec", NULL,
     "schedule!:s timeZone:s startingDeadlineSeconds:i concurrencyPolicy:s=Allow suspend:b=false "
     "jobTemplate!:JobTemplateSpec successfulJobsHistoryLimit:i=3 failedJobsHistoryLimit:i=1"},
    {"batch.v1", "JobTemplateSpec", NULL, "metadata:ObjectMeta spec:JobSpec"},
    {"apps.v1", "Deployment", "Equal Pods, rolled out by template.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:DeploymentSpec status:WorkloadStatus"},
    {"apps.v1", "DeploymentSpec", NULL,
     "replicas:i=1 selector!:LabelSelector template!:PodTemplateSpec strategy:o~ "
     "minReadySeconds:i revisionHistoryLimit:i=10 paused:b progressDeadlineSeconds:i=600"},
    {"apps.v1", "WorkloadStatus", NULL,
     "observedGeneration:i replicas:i updatedReplicas:i readyReplicas:i availableReplicas:i "
     "unavailableReplicas:i fullyLabeledReplicas:i currentReplicas:i currentRevision:s "
     "updateRevision:s collisionCount:i terminatingReplicas:i currentNumberScheduled:i "
     "numberMisscheduled:i desiredNumberScheduled:i numberReady:i updatedNumberScheduled:i "
     "numberAvailable:i numberUnavailable:i conditions:[DeploymentCondition]@type"},
    {"apps.v1", "DeploymentCondition", NULL,
     "type!:s status!:s lastUpdateTime:t lastTransitionTime:t reason:s message:s"},
    {"apps.v1", "ReplicaSet", "Equal Pods.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:ReplicaSetSpec status:WorkloadStatus"},
    {"apps.v1", "ReplicaSetSpec", NULL,
     "replicas:i=1 minReadySeconds:i selector!:LabelSelector template:PodTemplateSpec"},
    {"apps.v1", "StatefulSet", "Pods with names and volumes of their own.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:StatefulSetSpec status:WorkloadStatus"},
    {"apps.v1", "StatefulSetSpec", NULL,
     "replicas:i=1 selector!:LabelSelector template!:PodTemplateSpec volumeClaimTemplates:[o] "
     "serviceName:s podManagementPolicy:s updateStrategy:o revisionHistoryLimit:i "
     "minReadySeconds:i persistentVolumeClaimRetentionPolicy:o ordinals:o"},
    {"apps.v1", "DaemonSet", "One Pod on each node.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:DaemonSetSpec status:WorkloadStatus"},
    {"apps.v1", "DaemonSetSpec", NULL,
     "selector!:LabelSelector template!:PodTemplateSpec updateStrategy:o minReadySeconds:i "
     "revisionHistoryLimit:i"},
    {"autoscaling.v1", "Scale", "The size of a workload.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:ScaleSpec status:o"},
    {"autoscaling.v1", "ScaleSpec", NULL, "replicas:i"},
    {"scheduling.v1", "PriorityClass", "A priority with a name.",
     "apiVersion:s kind:s metadata:ObjectMeta value:i globalDefault:b description:s "
     "preemptionPolicy:s"},
    {"networking.v1", "NetworkPolicy", "Who may talk to Pods.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:o status:o"},
    {"networking.v1", "Ingress", "HTTP routes into the cluster.",
     "apiVersion:s kind:s metadata:ObjectMeta spec:o status:o"},

    /* access */
    {"rbac.v1", "Role", "Rights in one namespace.",
     "apiVersion:s kind:s metadata:ObjectMeta rules:[PolicyRule]"},
    {"rbac.v1", "ClusterRole", "Rights in the whole cluster.",
     "apiVersion:s kind:s metadata:ObjectMeta rules:[PolicyRule] aggregationRule:o"},
    {"rbac.v1", "PolicyRule", NULL,
     "verbs!:[s] apiGroups:[s] resources:[s] resourceNames:[s] nonResourceURLs:[s]"},
    {"rbac.v1", "RoleBinding", "Gives a Role to subjects.",
     "apiVersion:s kind:s metadata:ObjectMeta subjects:[Subject] roleRef!:RoleRef"},
    {"rbac.v1", "ClusterRoleBinding", "Gives a ClusterRole to subjects.",
     "apiVersion:s kind:s metadata:ObjectMeta subjects:[Subject] roleRef!:RoleRef"},
    {"rbac.v1", "Subject", NULL, "kind!:s apiGroup:s name!:s namespace:s"},
    {"rbac.v1", "RoleRef", NULL, "apiGroup!:s kind!:s name!:s"},
    {"authorization.v1", "SelfSubjectAccessReview", "May I?",
     "apiVersion:s kind:s metadata:ObjectMeta spec!:SelfSubjectAccessReviewSpec status:o"},
    {"authorization.v1", "SelfSubjectAccessReviewSpec", NULL,
     "resourceAttributes:ResourceAttributes nonResourceAttributes:NonResourceAttributes"},
    {"authorization.v1", "ResourceAttributes", NULL,
     "namespace:s verb:s group:s version:s resource:s subresource:s name:s fieldSelector:o "
     "labelSelector:o"},
    {"authorization.v1", "NonResourceAttributes", NULL, "path:s verb:s"},
    {"authorization.v1", "SelfSubjectRulesReviewSpec", NULL, "namespace:s"},
    {"authorization.v1", "SelfSubjectRulesReview", "What may I?",
     "apiVersion:s kind:s metadata:ObjectMeta spec!:SelfSubjectRulesReviewSpec status:o"},
    {"authorization.v1", "SubjectAccessReview", "May they?",
     "apiVersion:s kind:s metadata:ObjectMeta spec!:o status:o"},
    {"policy.v1", "Eviction", "Asks for a Pod to go.",
     "apiVersion:s kind:s metadata:ObjectMeta deleteOptions:DeleteOptions"},
    {"meta.v1", "DeleteOptions", "How to delete.",
     "apiVersion:s kind:s gracePeriodSeconds:i preconditions:Preconditions orphanDependents:b "
     "propagationPolicy:s dryRun:[s]"},
    {"meta.v1", "Preconditions", NULL, "uid:s resourceVersion:s"},
    {"authentication.v1", "SelfSubjectReview", "Who am I?",
     "apiVersion:s kind:s metadata:ObjectMeta status:o"},
    {"authentication.v1", "TokenReview", "Whose token is it?",
     "apiVersion:s kind:s metadata:ObjectMeta spec!:o status:o"},

    /* extension */
    {"apiextensions.v1", "CustomResourceDefinition", "A kind that is added to the API.",
     "apiVersion:s kind:s metadata:ObjectMeta spec!:CustomResourceDefinitionSpec status:CRDStatus"},
    {"apiextensions.v1", "CustomResourceDefinitionSpec", NULL,
     "group!:s names!:CRDNames scope!:s versions!:[CRDVersion] conversion:o "
     "preserveUnknownFields:b"},
    {"apiextensions.v1", "CRDNames", NULL,
     "plural!:s singular:s shortNames:[s] kind!:s listKind:s categories:[s]"},
    {"apiextensions.v1", "CRDVersion", NULL,
     "name!:s served!:b storage!:b deprecated:b deprecationWarning:s schema:o subresources:o "
     "additionalPrinterColumns:[CRDColumn] selectableFields:[o]"},
    {"apiextensions.v1", "CRDColumn", NULL,
     "name!:s type!:s format:s description:s priority:i jsonPath!:s"},
    {"apiextensions.v1", "CRDStatus", NULL,
     "conditions:[Condition]@type acceptedNames:CRDNames storedVersions:[s]"},
};

const size_t TYPE_ROW_COUNT = ARRAY_COUNT(TYPE_ROWS);
