/* Scores of an exported file in ONNX Runtime's C interface, as an experiment's software has it: no Python.

   export_c LIBRARY MODEL LEVEL BATCH EVENTS SCORES

   LIBRARY: libonnxruntime.so; LEVEL: 1 basic, 99 all optimisations; BATCH: events of a call, 0 for one call of none;
   EVENTS, SCORES: float32, one after the other. Exit status 1 with a message for whatever is refused. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "onnxruntime_c_api.h"

static const OrtApi *api;

static void refuse(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check(OrtStatus *status) {
  if (status) refuse(api->GetErrorMessage(status));
}

static float *read_floats(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  if (!file) refuse("no events");
  fseek(file, 0, SEEK_END);
  *count = ftell(file) / sizeof(float);
  rewind(file);
  float *values = malloc((*count + 1) * sizeof(float));
  if (!values || fread(values, sizeof(float), *count, file) != *count) refuse("events cannot be read");
  fclose(file);
  return values;
}

int main(int argc, char **argv) {
  if (argc != 7) refuse("export_c LIBRARY MODEL LEVEL BATCH EVENTS SCORES");
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) refuse(dlerror());
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
  api = base()->GetApi(ORT_API_VERSION);
  if (!api) refuse("the library is older than its header");

  OrtEnv *env;
  OrtSessionOptions *options;
  OrtSession *session;
  OrtMemoryInfo *memory;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "export_c", &env));
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, 1));
  check(api->SetSessionGraphOptimizationLevel(options, (GraphOptimizationLevel)atoi(argv[3])));
  check(api->CreateSession(env, argv[2], options, &session));
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

  OrtTypeInfo *type;
  const OrtTensorTypeAndShapeInfo *shape;
  int64_t sizes[8];
  size_t rank, count, width = 1;
  check(api->SessionGetInputTypeInfo(session, 0, &type));
  check(api->CastTypeInfoToTensorInfo(type, &shape));
  check(api->GetDimensionsCount(shape, &rank));
  if (rank < 2 || rank > 8) refuse("the input has no batch, or too many dimensions");
  check(api->GetDimensions(shape, sizes, rank));
  for (size_t i = 1; i < rank; i++) width *= sizes[i];

  float *events = read_floats(argv[5], &count);
  size_t batch = atoi(argv[4]), n = count / width;
  FILE *scores = fopen(argv[6], "wb");
  if (!scores || n * width != count) refuse("the events do not fit the input, or the scores cannot be written");
  const char *inputs[] = {"features"}, *outputs[] = {"score"};
  for (size_t k = 0; k + batch <= n; k += batch) {
    OrtValue *x, *y = NULL;
    OrtTensorTypeAndShapeInfo *found;
    float *values;
    int64_t size[2] = {-1, -1};
    sizes[0] = batch;
    check(api->CreateTensorWithDataAsOrtValue(memory, events + k * width, batch * width * sizeof(float), sizes, rank,
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &x));
    check(api->Run(session, NULL, inputs, (const OrtValue *const *)&x, 1, outputs, 1, &y));
    check(api->GetTensorTypeAndShape(y, &found));
    check(api->GetDimensionsCount(found, &rank));
    if (rank != 2) refuse("the scores are not (batch, 1)");
    check(api->GetDimensions(found, size, 2));
    if (size[0] != (int64_t)batch || size[1] != 1) refuse("the scores are not (batch, 1)");
    check(api->GetTensorMutableData(y, (void **)&values));
    fwrite(values, sizeof(float), batch, scores);
    api->ReleaseTensorTypeAndShapeInfo(found);
    api->ReleaseValue(x);
    api->ReleaseValue(y);
    check(api->CastTypeInfoToTensorInfo(type, &shape));
    check(api->GetDimensionsCount(shape, &rank));
    if (!batch) break;
  }
  return fclose(scores) != 0;
}
