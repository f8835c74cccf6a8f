# cmake -DPROGRAM=… -DPRINTS=REGEX -P run.cmake: PASS_REGULAR_EXPRESSION alone would overlook the exit code.
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE printed RESULT_VARIABLE code)
message("${printed}")
if(NOT code EQUAL 0 OR NOT printed MATCHES "${PRINTS}")
  message(FATAL_ERROR "exit code ${code}; expected: ${PRINTS}")
endif()
